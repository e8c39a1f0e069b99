"""The tokens of a saved run's chunks: their ids and the bytes they stand for.

A run stores the tokens that were predicted, so the first of each chunk and those of an unscored
first part are missing. The tokenized text that the scorer keeps beside the runs has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qfid_tui.pictures.token_glyphs import MISSING, IntArray
from scorer.common.errors import InputError, QfidError
from scorer.common.folders import cache_folder
from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.run import Run
from scorer.stats.positions import Positions
from scorer.text.tokens.cache import load_tokens
from scorer.text.tokens.tokenizer import TextTokenizer
from scorer.text.tokens.tokenizer_file import load_tokenizer_file

Batches = Mapping[str, Sequence[tuple[Positions, ChunkFacts]]]

_KEPT_TEXTS = 50


@dataclass(frozen=True, slots=True, eq=False)
class Spelling:
    """The bytes of a run's tokens.

    Attributes:
        pieces: Token id to its bytes, which may be part of a UTF-8 character.
        notice: Why ids are shown instead of text, in one line; "" where text is shown.
        bos: The id of the model's BOS token, or None.
    """

    pieces: Mapping[int, bytes]
    notice: str = ""
    bos: int | None = None


def stored_ids(batches: Batches, chunks: list[int], length: int) -> IntArray:
    """The tokens that a run stores, under any of its settings.

    Args:
        batches: What the run has stored.
        chunks: Indices of the chunks in the text, ascending.
        length: Tokens of a chunk.

    Returns:
        (chunks, length) int32; ``MISSING`` where no setting was scored.

    Raises:
        InputError: A position lies outside its chunk.
    """
    ids = np.full((len(chunks), length), MISSING, np.int32)
    row = {chunk: i for i, chunk in enumerate(chunks)}
    for parts in batches.values():
        for positions, _ in parts:
            if int(positions.position[-1]) + 1 >= length:
                raise InputError(
                    f"chunk {positions.chunk[0]} has a position {positions.position[-1]}, "
                    f"beyond the {length} tokens of a chunk",
                    "the run's files do not belong together; score it again",
                )
            ids[row[int(positions.chunk[0])], positions.position + 1] = positions.token
    return ids


def completed_ids(ids: IntArray, chunks: list[int]) -> IntArray:
    """The tokens of the chunks in the text, with those that were not scored where they are known.

    Args:
        ids: (chunks, length) stored ids.
        chunks: Indices of the chunks in the text, ascending.
    """
    length = ids.shape[1]
    known = ids != MISSING
    for text in _kept_texts():
        total = len(text) // length
        if chunks[-1] < total:
            grid = text[: total * length].reshape(total, length)[chunks]
            # As many tokens as were scored tell one text from every other.
            if np.array_equal(grid[known], ids[known]):
                return np.where(known, ids, grid).astype(np.int32)
    return ids


def spelling_of(run: Run, ids: Iterable[int]) -> Spelling:
    """Read the run's tokenizer and spell ``ids`` with it.

    Never downloads. A tokenizer that is gone, or another than the run's, gives no text.
    """
    reason = "the run does not say which tokenizer it used"
    facts = run.readable_facts
    wanted = facts.identity.get("tokenizer")
    known = None if facts.run is None else facts.run.model_revision
    for revision in dict.fromkeys((run.job.revision, known)):
        try:
            tokenizer = _tokenizer(run, revision)
        except QfidError as error:
            reason = error.message
            continue
        if tokenizer.sha256 != wanted:
            reason = f"the tokenizer of `{run.job.model}` is another than the run's"
            continue
        bos = tokenizer.bos_token_id
        spelled = {*ids, MISSING if bos is None else bos} - {MISSING}
        return Spelling({i: tokenizer.token_bytes(i) for i in spelled if i >= 0}, bos=bos)
    return Spelling({}, f"tokens are shown as ids: {reason}")


def _tokenizer(run: Run, revision: str | None) -> TextTokenizer:
    from scorer.models.resolve import resolve_model

    job = run.job
    info = resolve_model(job.model, revision, allow_custom_code=True)
    if not (info.path / "tokenizer.json").is_file():
        # Reading any other kind takes transformers, which has no place in the app's process.
        raise InputError(f"`{job.model}` has no tokenizer.json")
    return load_tokenizer_file(info.path)


def _kept_texts() -> Iterable[IntArray]:
    """Tokenized texts that the scorer has kept, the newest first."""
    try:
        files = [
            (path.stat().st_mtime, path) for path in (cache_folder() / "tokens").glob("tokens-*")
        ]
    except (OSError, InputError):
        return
    for _, path in sorted(files, reverse=True)[:_KEPT_TEXTS]:
        if (tokens := load_tokens(path)) is not None:
            yield tokens.ids
