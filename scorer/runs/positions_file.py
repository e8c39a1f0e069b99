"""``positions.arrow``: every scored position of a run, durable batch by batch.

An Arrow IPC stream that any Arrow reader opens; one record batch per (setting, chunk). The custom
metadata of a batch holds ``setting`` (its notation), ``chunk``, ``facts`` (a JSON object) and
``crc32``: eight hexadecimal digits, the CRC-32 of the whole message (prefix, metadata, body) with
these digits as zeros. Arrow itself checks nothing, so a reader would take a flipped bit for data.

The file is only ever appended to, and never closed with an end-of-stream marker, behind which
every reader would stop. What a crash leaves at the end is cut off when a writer opens the file.

Of two batches of one (setting, chunk) the first counts: what has been reported stays as it is,
and every prefix of the file tells the same story as the whole.
"""

from __future__ import annotations

import io
import json
import os
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from scorer.common.atomic_files import storage_error, sync_folder, write_all
from scorer.common.errors import InputError, QfidError
from scorer.runs import arrow_messages
from scorer.stats.positions import Positions

Batch = tuple[str, int, Positions, dict[str, Any]]

_DTYPES = {
    "chunk": np.int32,
    "position": np.int32,
    "token": np.int32,
    "kl": np.float64,
    "nll_ref": np.float64,
    "nll_quant": np.float64,
    "top_ref": np.int32,
    "top_ref_logprob": np.float64,
    "top_quant": np.int32,
    "top_quant_logprob": np.float64,
}
assert list(_DTYPES) == [field.name for field in fields(Positions)]
SCHEMA = pa.schema(
    [pa.field(name, pa.from_numpy_dtype(dtype), False) for name, dtype in _DTYPES.items()],
    metadata={"qfid": "positions", "version": "1"},
)
_NO_CRC = b"00000000"
# macOS has no fdatasync.
_sync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


class PositionsReader(Iterator[Batch]):
    """Iterates over (setting, chunk, positions, facts), in file order, each pair once.

    Stops before the first byte that is not a whole, unharmed batch; never raises for what the
    file holds. The arrays are read-only.

    Attributes:
        good_bytes: Bytes read so far and found intact, the schema included.
        ignored_bytes: Once exhausted, the bytes behind them: a torn tail, or damage and whatever
            follows it.

    Raises:
        QfidError: The file cannot be opened or the disk fails.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.good_bytes = 0
        self.ignored_bytes = 0
        self._batches = self._read()

    def __iter__(self) -> PositionsReader:
        return self

    def __next__(self) -> Batch:
        try:
            return next(self._batches)
        except OSError as error:
            raise storage_error(error, self.path) from error

    def _read(self) -> Iterator[Batch]:
        seen: set[tuple[str, int]] = set()
        with os.fdopen(_open(self.path, os.O_RDONLY), "rb") as file:
            size = file.seek(0, os.SEEK_END)
            for frame in arrow_messages.frames(file, size):
                if frame.start == 0:
                    if not _is_schema(frame):
                        break
                else:
                    batch = _decode(frame, file)
                    if batch is None:
                        break
                    if batch[:2] not in seen:
                        seen.add(batch[:2])
                        yield batch
                self.good_bytes = frame.end
            self.ignored_bytes = size - self.good_bytes


def read_positions(path: str | os.PathLike[str]) -> PositionsReader:
    """Read a ``positions.arrow``, also while another process appends to it.

    Returns:
        An iterator over (setting, chunk, positions, facts) that never raises on a torn or
        damaged file: it stops there, and its ``ignored_bytes`` says how much was left out.

    Raises:
        QfidError: The file cannot be opened or the disk fails.
    """
    return PositionsReader(path)


class PositionsWriter:
    """Appends batches to a ``positions.arrow``, creating or repairing it first.

    Keeps the longest intact prefix and cuts off the rest: a torn batch, zeros, an end-of-stream
    marker and what is behind it, a damaged batch and what is behind it; all of a file with
    another schema.

    Attributes:
        scored: Setting to the chunks that the file holds.
        dropped_bytes: Bytes cut off at opening.

    Raises:
        QfidError: The file cannot be opened or written.
    """

    def __init__(
        self, path: str | os.PathLike[str], on_close: Callable[[], None] | None = None
    ) -> None:
        """Open ``path``; ``on_close`` is called once when the writer has closed."""
        self.path = Path(path)
        self.scored: dict[str, set[int]] = {}
        self._on_close = on_close
        descriptor = _open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            reader = PositionsReader(self.path)
            for setting, chunk, _, _ in reader:
                self.scored.setdefault(setting, set()).add(chunk)
            self.dropped_bytes = reader.ignored_bytes
            self._end = reader.good_bytes
            os.ftruncate(descriptor, self._end)
            if self._end == 0:
                schema = SCHEMA.serialize().to_pybytes()
                write_all(descriptor, schema)
                self._end = len(schema)
            _sync(descriptor)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, OSError):
                raise storage_error(error, self.path) from error
            raise
        self._descriptor: int | None = descriptor
        sync_folder(self.path.parent)

    def append(self, setting: str, positions: Positions, facts: Mapping[str, Any]) -> bool:
        """Store one chunk of one setting; it survives a crash or power loss once this returns.

        Args:
            setting: The setting in notation.
            positions: All scored positions of one chunk, in ascending order of position.
            facts: JSON values to keep with the batch, such as its seconds. Keep it small.

        Returns:
            False, with nothing written, where the file holds this chunk of this setting already.

        Raises:
            QfidError: The bytes could not be stored, as on a full disk; what was stored before
                is untouched, and the writer can go on.
            ValueError: The positions are no chunk, the facts no JSON, or the writer is closed.
        """
        return self.append_all([(setting, positions, facts)])[0]

    def append_all(self, batches: Sequence[tuple[str, Positions, Mapping[str, Any]]]) -> list[bool]:
        """Store chunks as :meth:`append` does, with one wait for the disk.

        Args:
            batches: Setting, positions and facts of each.

        Returns:
            For each what :meth:`append` returns.

        Raises:
            QfidError, ValueError: As :meth:`append`; where the disk is full, those that it still
                had room for are stored.
        """
        if self._descriptor is None:
            raise ValueError("the writer is closed")
        messages: dict[tuple[str, int], bytes] = {}
        new = []
        for setting, positions, facts in batches:
            if fault := _fault(positions):
                raise ValueError(f"positions of setting {setting!r}: {fault}")
            key = setting, int(positions.chunk[0])
            new.append(key not in messages and key[1] not in self.scored.get(setting, ()))
            if new[-1]:
                messages[key] = _encode(*key, positions, facts)
        if not messages:
            return new
        try:
            self._store(b"".join(messages.values()))
        except OSError as error:
            if len(messages) == 1 or self._descriptor is None:
                raise self._not_saved(*next(iter(messages)), error) from error
            for batch in batches:
                self.append(*batch)
            return new
        for setting, chunk in messages:
            self.scored.setdefault(setting, set()).add(chunk)
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

    def _not_saved(self, setting: str, chunk: int, error: OSError) -> QfidError:
        count = sum(map(len, self.scored.values()))
        return QfidError(
            f"chunk {chunk} of setting `{setting}` could not be saved: "
            f"{storage_error(error, self.path).message}",
            f"the {count} chunks scored before it are saved (each setting's counted); "
            "free some space, then resume the run",
        )


def _encode(setting: str, chunk: int, positions: Positions, facts: Mapping[str, Any]) -> bytes:
    columns = []
    for name, dtype in _DTYPES.items():
        given = np.asarray(getattr(positions, name))
        column = np.ascontiguousarray(given, dtype)
        if given.dtype != dtype and not np.array_equal(column, given):
            raise ValueError(f"{name} does not fit {np.dtype(dtype)}")
        columns.append(pa.array(column))
    metadata = {
        "setting": setting,
        "chunk": str(chunk),
        "facts": json.dumps(dict(facts), allow_nan=False),
        "crc32": _NO_CRC,
    }
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, SCHEMA) as stream:
        stream.write_batch(pa.record_batch(columns, schema=SCHEMA), custom_metadata=metadata)
    _, frame = arrow_messages.frames(sink, sink.tell())
    message = bytearray(sink.getbuffer()[frame.start : frame.end])
    offset = frame.metadata["crc32"][0]
    message[offset : offset + len(_NO_CRC)] = _digits(message)
    return bytes(message)


def _decode(frame: arrow_messages.Frame, file: BinaryIO) -> Batch | None:
    """The batch of an intact frame; None where anything about it is wrong."""
    if frame.kind != arrow_messages.RECORD_BATCH or frame.metadata.keys() != {
        "setting",
        "chunk",
        "facts",
        "crc32",
    }:
        return None
    offset, digits = frame.metadata["crc32"]
    file.seek(frame.start)
    message = bytearray(file.read(frame.size))
    message[offset : offset + len(_NO_CRC)] = _NO_CRC
    if len(message) != frame.size or _digits(message) != digits:
        return None
    try:
        setting = frame.metadata["setting"][1].decode()
        chunk = int(frame.metadata["chunk"][1])
        facts = json.loads(frame.metadata["facts"][1])
        encoded = pa.ipc.read_message(pa.py_buffer(bytes(message)))
        batch = pa.ipc.read_record_batch(encoded, SCHEMA)
        batch.validate(full=True)
        if not isinstance(facts, dict) or any(column.null_count for column in batch.columns):
            return None
        positions = Positions(*(column.to_numpy() for column in batch.columns))
    except (pa.ArrowException, OSError, EOFError, ValueError, RecursionError):
        return None
    if _fault(positions) or int(positions.chunk[0]) != chunk:
        return None
    return setting, chunk, positions, facts


def _digits(message: bytes | bytearray) -> bytes:
    return b"%08x" % zlib.crc32(message)


def _fault(positions: Positions) -> str:
    """Why these rows cannot be one chunk of one setting; "" where they can."""
    rows = len(positions)
    if rows == 0:
        return "there are none"
    columns = [np.asarray(getattr(positions, name)) for name in _DTYPES]
    if any(column.shape != (rows,) for column in columns):
        return "the columns differ in length"
    if any(bool(np.isnan(column).any()) for column in columns if column.dtype.kind == "f"):
        return "one of them is NaN"
    chunk, position = columns[0], columns[1]
    if chunk[0] < 0 or bool((chunk != chunk[0]).any()):
        return "they are not of one chunk"
    if position[0] < 0 or bool((np.diff(position) <= 0).any()):
        return "they are not in ascending order"
    return ""


def _is_schema(frame: arrow_messages.Frame) -> bool:
    if frame.kind != arrow_messages.SCHEMA or frame.size != len(frame.header):
        return False
    try:
        schema = pa.ipc.read_schema(pa.py_buffer(frame.header))
    except (pa.ArrowException, OSError, EOFError, ValueError):
        return False
    return bool(schema.equals(SCHEMA, check_metadata=True))


def _open(path: Path, flags: int) -> int:
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
