"""``positions.arrow``: every scored position of a run, durable batch by batch.

An Arrow IPC stream that any Arrow reader opens: the schema of ``positions_schema``, then the
messages of ``positions_format``. It is only ever appended to, and never closed with an
end-of-stream marker, behind which every reader would stop.

What a crash leaves at the end, or what damage leaves unreadable, is cut off when a writer opens
the file. What another version or another program wrote is not damage and is never cut off: such a
file is opened to read, or refused in one line.

Of two batches of one cell the first counts: what has been reported stays as it is, and every
prefix of the file tells the same story as the whole.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from scorer.common.atomic_files import FULL, storage_error, sync_folder, write_all
from scorer.common.errors import InputError, QfidError
from scorer.runs.arrow_messages import frame_at, frames
from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.grid import CellKey
from scorer.runs.positions_format import (
    POSITIONS_SCHEMA,
    Place,
    StoredChunk,
    decode,
    encode,
    key_fault,
    read_schema,
)
from scorer.runs.positions_schema import DAMAGED_SCHEMA, NOT_POSITIONS, UnknownContent, refusal
from scorer.stats.positions import Positions

_SCHEMA_BYTES = POSITIONS_SCHEMA.serialize().to_pybytes()
# Longer files are more than what a crash at their creation leaves.
_TORN_BYTES = 1 << 16
# macOS has no fdatasync.
_sync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


class PositionsReader(Iterator[StoredChunk]):
    """Iterates over the chunks of a file in file order, each cell once.

    Stops before the first byte that is not a whole, undamaged batch. The arrays are read-only.

    Attributes:
        good_bytes: Bytes read so far and found intact, the schema included.
        ignored_bytes: Once exhausted, the bytes behind them: a torn tail, or damage and whatever
            follows it.
        place: Where the last chunk lies.
        read_only: Why this version may not append to the file, in words that follow the file's
            name and a colon; "" where it may. Known from the first chunk on.

    Raises:
        QfidError: The file cannot be opened or the disk fails.
        InputError: While iterating: the file holds something intact that this version does not
            understand, or is no positions file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.good_bytes = 0
        self.ignored_bytes = 0
        self.place: Place | None = None
        self.read_only = ""
        self._chunks = self._read()

    def __iter__(self) -> PositionsReader:
        return self

    def __next__(self) -> StoredChunk:
        try:
            return next(self._chunks)
        except UnknownContent as error:
            raise refusal(self.path, error, "cannot read it") from error
        except OSError as error:
            raise storage_error(error, self.path) from error

    def _read(self) -> Iterator[StoredChunk]:
        with os.fdopen(open_positions(self.path, os.O_RDONLY), "rb") as file:
            size = file.seek(0, os.SEEK_END)
            if _is_torn_schema(file, size):
                self.ignored_bytes = size
                return
            first = frame_at(file, 0, size)
            if first is None:
                raise UnknownContent(NOT_POSITIONS)
            schema, self.read_only = read_schema(first)
            self.good_bytes = first.end
            seen: set[CellKey] = set()
            for frame in frames(file, size, first.end):
                chunk = decode(frame, file, schema)
                if chunk is None:
                    break
                self.good_bytes = frame.end
                if chunk.key not in seen:
                    seen.add(chunk.key)
                    self.place = Place.of(frame, schema)
                    yield chunk
            self.ignored_bytes = size - self.good_bytes
            if not seen and self.ignored_bytes and first.header != _SCHEMA_BYTES:
                # A flipped bit in its length would hide every batch.
                raise UnknownContent(DAMAGED_SCHEMA)

    def check_appendable(self) -> None:
        """Check, once exhausted, that nothing of another version is in the file.

        What follows damage is looked at too: it is about to be cut off.

        Raises:
            InputError: This version may not append to it.
        """
        try:
            if self.read_only:
                raise UnknownContent(self.read_only)
            if self.good_bytes and self.ignored_bytes:
                with os.fdopen(open_positions(self.path, os.O_RDONLY), "rb") as file:
                    size = file.seek(0, os.SEEK_END)
                    for frame in frames(file, size, self.good_bytes):
                        decode(frame, file, POSITIONS_SCHEMA)
        except UnknownContent as error:
            raise refusal(self.path, error, "does not write to it") from error
        except OSError as error:
            raise storage_error(error, self.path) from error


def read_positions(path: str | os.PathLike[str]) -> PositionsReader:
    """Read a ``positions.arrow``, also while another process appends to it.

    Returns:
        An iterator over chunks. At a torn or damaged batch it stops, and its ``ignored_bytes``
        says how much was left out.

    Raises:
        QfidError, InputError: As :class:`PositionsReader`.
    """
    return PositionsReader(path)


class PositionsWriter:
    """Appends chunks to a ``positions.arrow``, creating or repairing it first.

    Keeps the longest intact prefix and cuts off the rest: a torn batch, zeros, an end-of-stream
    marker and what is behind it, a damaged batch and what is behind it.

    Attributes:
        stored: Keys of the cells that the file holds.
        dropped_bytes: Bytes cut off at opening.

    Raises:
        InputError: The file holds something that this version does not know; none of its bytes is
            changed.
        QfidError: The file cannot be opened or written.
    """

    def __init__(
        self, path: str | os.PathLike[str], on_close: Callable[[], None] | None = None
    ) -> None:
        """Open ``path``; ``on_close`` is called once when the writer has closed."""
        self.path = Path(path)
        self._on_close = on_close
        descriptor = open_positions(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            reader = PositionsReader(self.path)
            self.stored = {chunk.key for chunk in reader}
            reader.check_appendable()
            self.dropped_bytes = reader.ignored_bytes
            self._end = reader.good_bytes
            os.ftruncate(descriptor, self._end)
            if self._end == 0:
                write_all(descriptor, _SCHEMA_BYTES)
                self._end = len(_SCHEMA_BYTES)
            _sync(descriptor)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, OSError):
                raise storage_error(error, self.path) from error
            raise
        self._descriptor: int | None = descriptor
        sync_folder(self.path.parent)

    def append(self, key: CellKey, positions: Positions, facts: ChunkFacts) -> bool:
        """Store one cell; it survives a crash or power loss once this returns.

        Args:
            key: The cell.
            positions: All its scored positions, in ascending order of position.
            facts: How it was scored.

        Returns:
            False, with nothing written, where the file holds this cell already.

        Raises:
            QfidError: The bytes could not be stored, as on a full disk; what was stored before
                is untouched, and the writer can go on.
            InputError: The key names a passage, for which version 1 has no place.
            ValueError: The positions are not those of the cell, the facts no JSON, or the writer
                is closed.
        """
        return self.append_all([StoredChunk(key, positions, facts)])[0]

    def append_all(self, chunks: Sequence[StoredChunk]) -> list[bool]:
        """Store cells as :meth:`append` does, with one wait for the disk.

        Returns:
            For each what :meth:`append` returns.

        Raises:
            QfidError, InputError, ValueError: As :meth:`append`; where the disk is full, those
                that it still had room for are stored.
        """
        if self._descriptor is None:
            raise ValueError("the writer is closed")
        messages: dict[CellKey, bytes] = {}
        new = []
        for chunk in chunks:
            key = chunk.key
            if key.passage is not None:
                raise InputError(
                    f"`{self.path}` holds one passage only: it cannot take passage `{key.passage}`",
                    "start a run of its own for it",
                )
            if fault := key_fault(key, chunk.positions):
                raise ValueError(f"positions of setting {key.setting!r}: {fault}")
            new.append(key not in messages and key not in self.stored)
            if new[-1]:
                messages[key] = encode(chunk)
        if not messages:
            return new
        try:
            self._store(b"".join(messages.values()))
        except OSError as error:
            if len(messages) == 1 or self._descriptor is None:
                raise self._not_saved(next(iter(messages)), error) from error
            for chunk in chunks:
                self.append_all([chunk])
            return new
        self.stored |= messages.keys()
        return new

    def _store(self, data: bytes) -> None:
        assert self._descriptor is not None
        try:
            write_all(self._descriptor, data)
            _sync(self._descriptor)
        except BaseException:
            # Also after ctrl-c: half a batch must not stand before the next one.
            self._cut_back()
            raise
        self._end += len(data)
        self.check_in_place()

    def check_in_place(self) -> None:
        """Check that what was written can be found again under the file's path.

        Raises:
            QfidError: The file or its folder was deleted, renamed or replaced; the writer is
                closed.
            ValueError: The writer is closed.
        """
        if self._descriptor is None:
            raise ValueError("the writer is closed")
        try:
            if os.path.samestat(os.fstat(self._descriptor), os.lstat(self.path)):
                return
            reason = "was replaced by another file"
        except OSError as error:
            reason = f"cannot be found any more: {error.strerror or error}"
        self.close()
        raise QfidError(
            f"`{self.path}` {reason}; nothing more is saved of this run",
            "put the run's folder back where it was and resume it, or score anew",
        )

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Inside the block, an error that comes of a run that is gone says that it is gone.

        Raises:
            QfidError: See :meth:`check_in_place`.
        """
        try:
            yield
        except QfidError:
            if self._descriptor is not None:
                self.check_in_place()
            raise

    def close(self) -> None:
        """Close the file; does nothing the second time."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            os.close(descriptor)
        finally:
            if self._on_close is not None:
                self._on_close()

    def __enter__(self) -> PositionsWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _cut_back(self) -> None:
        assert self._descriptor is not None
        try:
            os.ftruncate(self._descriptor, self._end)
        except OSError:
            # The next opening repairs the file; appending behind a torn batch would lose it all.
            self.close()

    def _not_saved(self, key: CellKey, error: OSError) -> QfidError:
        cause = storage_error(error, self.path)
        remedy = "free some space" if error.errno in FULL else cause.hint or "see to the disk"
        return QfidError(
            f"chunk {key.chunk} of setting `{key.setting}` could not be saved: {cause.message}",
            f"the {len(self.stored)} chunks scored before it are saved (each setting's counted); "
            f"{remedy}, then resume the run",
        )


def _is_torn_schema(file: BinaryIO, size: int) -> bool:
    """Whether a crash at its creation left the file: part of our schema, then at most zeros."""
    if size > _TORN_BYTES:
        return False
    file.seek(0)
    data = file.read(_TORN_BYTES)
    return not data.startswith(_SCHEMA_BYTES) and _SCHEMA_BYTES.startswith(data.rstrip(b"\0"))


def open_positions(path: Path, flags: int) -> int:
    """A descriptor of a positions file.

    Raises:
        QfidError: It cannot be opened.
        InputError: It is no regular file.
    """
    try:
        # Neither a link out of the run's folder nor a pipe that would block for ever.
        flags |= os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(path, flags, 0o666)
    except (OSError, ValueError) as error:
        raise storage_error(error, path) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"`{path}` is not a regular file")
    return descriptor
