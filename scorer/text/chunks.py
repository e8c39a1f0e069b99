"""Makes token chunks from a tokenized text, with their provenance.

The whole text is tokenized once and cut into consecutive chunks; the last partial chunk is dropped.
Source: definitions, "Corpus and chunks"; mlx-quant-fidelity 0.10.0 and, for the other protocol,
llama.cpp's ``llama-perplexity``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scorer.common.errors import InputError
from scorer.spec.job import ChunkChoice, TextProtocol
from scorer.text.chunk_order import more_chunks
from scorer.text.chunk_roles import chunks_without, count_roles, target_roles
from scorer.text.provenance import CorpusFacts
from scorer.text.tokenized import TokenizedSource

FEW_DISTINCT = 16

BosPolicy = Literal["none", "first-chunk", "every-chunk", "chat-template"]


@dataclass(frozen=True, slots=True, eq=False)
class ChunkedCorpus:
    """The chunks of a run and their provenance.

    Attributes:
        ids: (n, L) int32, tokens of the selected chunks.
        indices: Index of each selected chunk in the corpus, in scoring order.
        total: Number of full chunks in the corpus.
        documents: For each selected chunk, the index of the document of its first token; None
            if the documents are unknown.
        titles: Title of every document of the corpus, by index.
        n_documents: Number of documents that the selected chunks start in; 0 if unknown.
        n_tokens: Tokens of the selected chunks, ``n · L``.
        bos_policy: Where BOS is inserted: ``none``, ``first-chunk``, ``every-chunk`` (llama.cpp),
            or ``chat-template`` if the template of each conversation decides.
        name: ``wikitext-2-raw``, ``builtin`` or a file name.
        split: Split of the dataset, or None.
        sha256: Hex SHA-256 of the corpus text in UTF-8.
        revision: Commit of the dataset, or None.
        tokenizer_id: Repo id or name of the tokenizer.
        tokenizer_sha256: Hex SHA-256 of its files.
        tokenizer_versions: Package to version of the libraries that decided the tokens.
        protocol: ``mqf`` or ``llama.cpp``.
        chunk_length: L, tokens of a chunk.
        scored_from: First scored position: 0, or ``L // 2`` under llama.cpp.
        unigram_perplexity: Perplexity of the tokenized corpus by its own token frequencies.
        chat: Whether the corpus is conversations in the model's chat template.
        warnings: What the reader of a report should know of the text, one line each.
        roles: (n, L - 1) uint8, whose the target of each position is, indices into ``role_names``;
            None of a text without roles.
        role_names: Names of roles.
        role_positions: Role to the positions that the selected chunks have of it.
        counted_roles: The roles that count; empty for all positions.
        left_out: Chunks that hold no position of the roles that count, ascending.
    """

    ids: NDArray[np.int32]
    indices: tuple[int, ...]
    total: int
    documents: tuple[int | None, ...]
    titles: tuple[str, ...]
    n_documents: int
    n_tokens: int
    bos_policy: BosPolicy
    name: str
    split: str | None
    sha256: str
    revision: str | None
    tokenizer_id: str
    tokenizer_sha256: str
    tokenizer_versions: dict[str, str]
    protocol: TextProtocol
    chunk_length: int
    scored_from: int
    unigram_perplexity: float
    chat: bool = False
    warnings: tuple[str, ...] = ()
    roles: NDArray[np.uint8] | None = None
    role_names: tuple[str, ...] = ()
    role_positions: dict[str, int] = field(default_factory=dict)
    counted_roles: tuple[str, ...] = ()
    left_out: tuple[int, ...] = ()

    def counted(self, rows: slice) -> NDArray[np.bool_] | None:
        """Which positions of some chunks are of the roles that count; None for all.

        Args:
            rows: Which of the selected chunks.

        Returns:
            (m, L - 1) bool.
        """
        if self.roles is None or not self.counted_roles:
            return None
        codes = [i for i, name in enumerate(self.role_names) if name in self.counted_roles]
        found: NDArray[np.bool_] = np.isin(self.roles[rows], codes)
        return found

    def facts(self) -> CorpusFacts:
        """Return the facts about the text that are stored with a run."""
        return CorpusFacts(
            name=self.name,
            split=self.split,
            tokenizer_id=self.tokenizer_id,
            chunk_length=self.chunk_length,
            stride=self.chunk_length,
            bos_policy=self.bos_policy,
            final_chunk_policy="drop",
            normalization="chat-template" if self.chat else "raw",
            n_tokens=self.n_tokens,
            dataset_revision=self.revision,
            protocol=self.protocol,
            sha256=self.sha256,
            tokenizer_sha256=self.tokenizer_sha256,
            total_chunks=self.total,
            n_documents=self.n_documents,
            scored_from=self.scored_from,
            unigram_perplexity=self.unigram_perplexity,
            role_positions=self.role_positions,
            chunks_left_out=self.left_out,
        )


def cut_corpus(
    tokens: TokenizedSource,
    *,
    protocol: TextProtocol = "mqf",
    chunk_length: int = 512,
    chunks: ChunkChoice = "first",
    max_chunks: int | None = None,
    stored: Sequence[int] | None = None,
    grows: bool = True,
    batch: int = 1,
    vocab_rows: int | None = None,
    tokenizer_id: str,
    roles: tuple[str, ...] = (),
    first: int = 0,
) -> ChunkedCorpus:
    """Cut a tokenized text into chunks and select those of the run.

    Args:
        tokens: The text's tokens.
        protocol: ``mqf`` or ``llama.cpp``.
        chunk_length: L, tokens of a chunk.
        chunks: Which chunks to select if there are more than ``max_chunks``.
        max_chunks: Maximum number of chunks; None for all.
        stored: Indices of the chunks of a run that goes on, where the text has them all: they keep
            their places.
        grows: Whether chunks are added to ``stored``; False for these and no others.
        batch: Chunks of a batch where numbers depend on it; ``max_chunks`` is rounded up to whole
            ones.
        vocab_rows: Rows of the model's embedding; None to skip the check of the ids.
        tokenizer_id: Name of the tokenizer in the report.
        roles: The roles whose tokens count; empty for all tokens. Chunks without one are left out.
        first: First position that every setting scores, where the protocol does not begin later.

    Raises:
        InputError: The text is shorter than the protocol needs, holds a token without an
            embedding row, or none of the roles.
    """
    total = full_chunks(tokens.name, len(tokens.ids), chunk_length, protocol)
    scored_from = chunk_length // 2 if protocol == "llama.cpp" else 0
    targets = target_roles(tokens, total, chunk_length)
    left_out, asked = chunks_without(tokens, targets, roles, max(first, scored_from))
    indices = tuple(dict.fromkeys(stored or ()))
    if not indices or not 0 <= min(indices) <= max(indices) < total:
        indices, grows = (), True
    if grows:
        indices = more_chunks(indices, total, chunks, max_chunks, batch, frozenset(left_out))
    own = None if targets is None else targets[list(indices)]
    ids = tokens.ids[: total * chunk_length].reshape(total, chunk_length)[list(indices)]
    policy: BosPolicy = "none"
    if protocol == "llama.cpp":
        if tokens.added_bos is not None:
            ids[:, 0], policy = tokens.added_bos, "every-chunk"
    elif tokens.chat:
        policy = "chat-template"
    elif tokens.added_bos is not None:
        policy = "first-chunk"
    _check_rows(ids, vocab_rows, tokenizer_id)
    documents = _documents(tokens.document_starts, indices, chunk_length)
    return ChunkedCorpus(
        ids=ids,
        indices=indices,
        total=total,
        documents=documents,
        titles=tokens.titles,
        n_documents=len({d for d in documents if d is not None}),
        n_tokens=ids.size,
        bos_policy=policy,
        name=tokens.name,
        split=tokens.split,
        sha256=tokens.sha256,
        revision=tokens.revision,
        tokenizer_id=tokenizer_id,
        tokenizer_sha256=tokens.tokenizer_sha256,
        tokenizer_versions=tokens.tokenizer_versions,
        protocol=protocol,
        chunk_length=chunk_length,
        scored_from=scored_from,
        unigram_perplexity=unigram_perplexity(tokens.ids),
        chat=tokens.chat,
        warnings=(*tokens.cautions, *asked, *repetitive_chunks(ids)),
        roles=own,
        role_names=tokens.role_names,
        role_positions=count_roles(own, tokens.role_names, scored_from),
        counted_roles=roles,
        left_out=left_out,
    )


def repetitive_chunks(ids: NDArray[np.int32]) -> tuple[str, ...]:
    """Return a warning about chunks of few distinct tokens, or nothing.

    In such a chunk the model predicts the same over and over, which says little about other text.
    Few are fewer than :data:`FEW_DISTINCT`, or than a quarter of a short chunk.

    Args:
        ids: (n, L) int32.
    """
    few = min(FEW_DISTINCT, ids.shape[1] // 4)
    distinct = 1 + np.count_nonzero(np.diff(np.sort(ids, axis=1), axis=1), axis=1)
    found = int(np.count_nonzero(distinct < few))
    if not found:
        return ()
    hold = "holds" if found == 1 else "hold"
    return (
        f"{found} of {len(ids)} chunks {hold} fewer than {few} distinct tokens: text that repeats "
        "itself says little about any other",
    )


def unigram_perplexity(ids: NDArray[np.int32]) -> float:
    """Return ``exp`` of the entropy (nats) of the token frequencies.

    This is the perplexity of a model that knows only how often each token occurs in the text.

    Args:
        ids: (n,) int32, n at least 1.
    """
    counts = np.bincount(ids)
    p = counts[counts > 0] / len(ids)
    return float(np.exp(-np.sum(p * np.log(p))))


def full_chunks(name: str, n_tokens: int, chunk_length: int, protocol: TextProtocol) -> int:
    """Return how many full chunks a text has.

    Raises:
        InputError: It is shorter than the protocol needs.
    """
    least = 3 if protocol == "llama.cpp" else 2
    if chunk_length < least:
        raise InputError(
            f"chunk length `{chunk_length}` leaves no position to score",
            f"give at least {least}; 512 is the default",
        )
    needed = 2 * chunk_length if protocol == "llama.cpp" else chunk_length
    if n_tokens < needed:
        longest = n_tokens * chunk_length // needed
        remedy = f"--chunk-length {longest} would fit, or " if longest >= least else ""
        windows = "two windows" if protocol == "llama.cpp" else "a chunk"
        raise InputError(
            f"`{name}` holds {n_tokens} tokens, fewer than the {needed} of {windows}",
            f"{remedy}give more text",
        )
    return n_tokens // chunk_length


def _check_rows(ids: NDArray[np.int32], vocab_rows: int | None, tokenizer_id: str) -> None:
    # MLX does not check bounds: a missing row would read other memory.
    if (smallest := int(ids.min())) < 0:
        raise InputError(
            f"the tokenizer `{tokenizer_id}` gives the token id `{smallest}`",
            "its files are damaged; fetch the model again",
        )
    if vocab_rows is not None and (largest := int(ids.max())) >= vocab_rows:
        raise InputError(
            f"token id `{largest}` of the tokenizer `{tokenizer_id}` is beyond the model's "
            f"{vocab_rows} embedding rows",
            "tokenizer and model do not belong together; fetch the model again",
        )


def _documents(
    starts: NDArray[np.int64], indices: tuple[int, ...], chunk_length: int
) -> tuple[int | None, ...]:
    if not len(starts):
        return (None,) * len(indices)
    first_tokens = np.array(indices, np.int64) * chunk_length
    found = np.searchsorted(starts, first_tokens, side="right") - 1
    return tuple(int(d) if d >= 0 else None for d in found)
