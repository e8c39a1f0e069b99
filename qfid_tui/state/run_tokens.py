"""The tokens of a saved run's chunks: their ids and the bytes they stand for.

A run stores the tokens that were predicted, so the first of each chunk and those of an unscored
first part are missing. The tokenized text that the scorer keeps beside the runs has them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qfid_tui.pictures.token_glyphs import MISSING, IntArray
from scorer.common.errors import InputError, Interrupted, QfidError
from scorer.common.folders import cache_folder
from scorer.device.host_memory import host_memory
from scorer.models.file_stamp import FileStamp
from scorer.models.measuring import never
from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.run import Run
from scorer.stats.positions import Positions
from scorer.text.tokens.cache import load_tokens
from scorer.text.tokens.files import TOKENIZER, files_of
from scorer.text.tokens.spelling import SpelledTokens, read_spelling

Batches = Mapping[str, Sequence[tuple[Positions, ChunkFacts]]]

_KEPT_TEXTS = 50
_KEPT_TOKENIZERS = 4
_RETRY_SECONDS = 60.0
# Of the text that is laid out. Natural language has 4 bytes a token, code somewhat more.
_MOST_BYTES_A_TOKEN = 64
_LEAST_BYTES = 1 << 20


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


def spelling_of(run: Run, ids: Iterable[int], stop: Callable[[], bool] = never) -> Spelling:
    """Read the run's tokenizer and spell ``ids`` with it, in a process of its own.

    Never downloads. A tokenizer that is gone, another than the run's, or one that gives no answer,
    gives no text. What was read is kept as long as the files stay as they are.

    Args:
        run: The run.
        ids: Token ids.
        stop: Asked ten times a second; once it is true no more is waited for.
    """
    reason = "the run does not say which tokenizer it used"
    wanted = {*ids} - {MISSING}
    facts = run.readable_facts
    sha256 = facts.identity.get("tokenizer")
    known = None if facts.run is None else facts.run.model_revision
    for revision in dict.fromkeys((run.job.revision, known)):
        try:
            found = _spelled(run, revision, wanted, stop)
        except QfidError as error:
            reason = error.message
            continue
        if found.sha256 != sha256:
            reason = f"the tokenizer of `{run.job.model}` is another than the run's"
            continue
        return Spelling(found.pieces, bos=found.bos)
    return Spelling({}, f"tokens are shown as ids: {reason}")


def drawable(spelling: Spelling, ids: IntArray) -> Spelling:
    """The spelling; without text where that would be too much to lay out.

    Args:
        spelling: What tokens stand for.
        ids: The tokens of the text, any shape.
    """
    tokens, counts = np.unique(ids, return_counts=True)
    sizes = [len(spelling.pieces.get(token, b"")) for token in tokens.tolist()]
    size = int(np.dot(sizes, counts))
    if size <= _MOST_BYTES_A_TOKEN * ids.size + _LEAST_BYTES:
        return spelling
    reason = f"{ids.size} of them come to {size >> 20} MiB of text"
    return Spelling({}, f"tokens are shown as ids: {reason}", spelling.bos)


def _spelled(
    run: Run, revision: str | None, wanted: set[int], stop: Callable[[], bool]
) -> SpelledTokens:
    """Spell tokens with the tokenizer of a revision of the run's model.

    Raises:
        QfidError: It cannot be read, or gave no answer.
    """
    from scorer.models.resolve import resolve_model

    job = run.job
    info = resolve_model(job.model, revision, allow_custom_code=True)
    if not (info.path / "tokenizer.json").is_file():
        # Reading any other kind takes transformers.
        raise InputError(f"`{job.model}` has no tokenizer.json")
    return _spellings.read(info.path, job.model, wanted, stop)


class _Spellings:
    """What tokenizers have spelled: each token once; one that fails is left alone for a minute.

    A screen that follows a run reads its tokens again and again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[SpelledTokens, frozenset[int]]] = {}
        self._failed: dict[str, tuple[QfidError, float]] = {}

    def read(
        self, folder: Path, name: str, wanted: set[int], stop: Callable[[], bool]
    ) -> SpelledTokens:
        """Spell tokens; what is known already comes with them.

        Raises:
            QfidError: The tokenizer cannot be read, or gave no answer.
        """
        key = _stamp(folder)
        with self._lock:
            before, asked = self._known.get(key, (None, frozenset()))
            error, since = self._failed.get(key, (None, 0.0))
        if error is not None and time.monotonic() - since < _RETRY_SECONDS:
            raise error
        if before is not None and wanted <= asked:
            return before

        def ended() -> QfidError | None:
            if stop():
                return Interrupted("nobody waits for them any more")
            if host_memory().is_all_but_gone:
                return Interrupted("memory ran short")
            return None

        try:
            found = read_spelling(folder, name, wanted - asked, ended)
        except Interrupted:
            raise
        except QfidError as error:
            with self._lock:
                self._failed[key] = error, time.monotonic()
            raise
        if before is not None:
            pieces = {**before.pieces, **found.pieces}
            found = SpelledTokens(found.sha256, found.bos, pieces)
        with self._lock:
            self._known[key] = found, asked | wanted
            for kept in (self._known, self._failed):
                while len(kept) > _KEPT_TOKENIZERS:
                    del kept[next(iter(kept))]
        return found


_spellings = _Spellings()


def _stamp(folder: Path) -> str:
    """A folder of a model and the state of the files that decide how its tokens are spelled."""
    stamps = [(file.name, FileStamp.of(file.stat())) for file in files_of(folder, TOKENIZER)]
    return repr((str(folder), stamps))


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
