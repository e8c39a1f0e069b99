"""Where the scored text comes from, as it is stored with a run. Pure standard library."""

from __future__ import annotations

from dataclasses import dataclass, field

from scorer.common.json_values import OMITTED


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusProvenance:
    """The keys that mlx-quant-fidelity's reports hold of a text, with its meaning.

    Attributes:
        name: ``wikitext-2-raw``, ``builtin`` or a file name.
        split: Split of the dataset, None where there is none.
        tokenizer_id: Repo id or name of the tokenizer; None where a file does not say.
        chunk_length: Tokens of a chunk.
        stride: Tokens from the beginning of one chunk to that of the next.
        bos_policy: Where BOS stands: ``none``, ``first-chunk``, ``every-chunk`` or
            ``chat-template``.
        final_chunk_policy: ``drop``: the last partial chunk is left out.
        normalization: ``raw`` or ``chat-template``.
        n_tokens: Tokens of the chunks.
        dataset_revision: Commit of the dataset, None where there is none.
    """

    name: str
    split: str | None = None
    tokenizer_id: str | None = None
    chunk_length: int = 0
    stride: int = 0
    bos_policy: str = "none"
    final_chunk_policy: str = "drop"
    normalization: str = "raw"
    n_tokens: int = 0
    dataset_revision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusFacts(CorpusProvenance):
    """Everything that is stored of a text.

    Attributes:
        protocol: ``mqf`` or ``llama.cpp``.
        sha256: Hexadecimal SHA-256 of the text in UTF-8; None, as below, where a file does not
            say.
        tokenizer_sha256: Hexadecimal SHA-256 of the tokenizer's files.
        total_chunks: Full chunks of the whole text.
        n_documents: Documents that the planned chunks begin in; 0 where the text knows none.
        scored_from: First position of a chunk that the protocol scores.
        unigram_perplexity: Perplexity of the whole text under its own token frequencies.
        role_positions: Role to its positions in the planned chunks; empty for a text without
            roles.
        chunks_left_out: Chunks of the text without a position of the roles that count.
    """

    protocol: str = "mqf"
    sha256: str | None = None
    tokenizer_sha256: str | None = None
    total_chunks: int | None = None
    n_documents: int | None = None
    scored_from: int = 0
    unigram_perplexity: float | None = None
    role_positions: dict[str, int] = field(default_factory=dict, metadata=OMITTED)
    chunks_left_out: tuple[int, ...] = field(default=(), metadata=OMITTED)
