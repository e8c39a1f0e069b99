"""The messages of ``positions.arrow``: a chunk's positions to bytes and back.

One record batch per (setting, chunk). The custom metadata of a batch holds ``setting`` (its key),
``chunk``, ``facts`` (a JSON object) and ``crc32``: eight hexadecimal digits, the CRC-32 of the
whole message (prefix, metadata, body) with these digits as zeros. Arrow itself checks nothing, so
a reader would take a flipped bit for data.

The checksum also tells damage from what another version wrote: bytes that a crash or a failing
disk left have none that fits; whatever has a fitting one was written on purpose, understood here
or not.
"""

from __future__ import annotations

import functools
import io
import json
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from scorer.runs.arrow_bodies import column_offsets, foreign_body
from scorer.runs.arrow_messages import Frame, HeaderType, frames
from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.grid import CellKey
from scorer.runs.positions_schema import (
    BATCH_KEYS,
    COLUMNS,
    METADATA,
    NOT_POSITIONS,
    NOT_VERSION_1,
    Field,
    UnknownContent,
    difference,
    difference_of,
    unknown_keys,
)
from scorer.stats.positions import Positions

_DTYPES = {name: {"int32": np.int32, "double": np.float64}[kind] for name, kind in COLUMNS.items()}
assert list(_DTYPES) == [field.name for field in fields(Positions)]
POSITIONS_SCHEMA = pa.schema(
    [pa.field(name, pa.from_numpy_dtype(dtype), False) for name, dtype in _DTYPES.items()],
    metadata=METADATA,
)
_WIDTHS = [np.dtype(dtype).itemsize for dtype in _DTYPES.values()]
NO_CRC = b"00000000"


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """One cell as the file holds it: its key, its scored positions, how they were scored."""

    key: CellKey
    positions: Positions
    facts: ChunkFacts


@dataclass(frozen=True, slots=True)
class Place:
    """Where an understood message lies in its file, to read its positions again.

    Attributes:
        start: Byte of the file at which it begins.
        size: Its bytes.
        checksum_at: Byte of the message at which the digits of its checksum begin.
        checksum: These digits.
        columns: Byte of the message at which each column begins, one tuple for all messages of one
            layout; None where only pyarrow can tell.
    """

    start: int
    size: int
    checksum_at: int
    checksum: bytes
    columns: tuple[int, ...] | None

    @classmethod
    def of(cls, frame: Frame, schema: pa.Schema) -> Place:
        """The place of a message that :func:`decode` has understood."""
        columns = None
        if schema is POSITIONS_SCHEMA:
            columns = _shared(tuple(column_offsets(frame)))
        return cls(frame.start, frame.size, *frame.metadata["crc32"], columns)


@functools.lru_cache(maxsize=64)
def _shared(columns: tuple[int, ...]) -> tuple[int, ...]:
    """The same tuple for equal ones: a run has a place for each of its chunks."""
    return columns


def read_again(place: Place, descriptor: int, schema: pa.Schema, rows: int) -> Positions | None:
    """The positions in a message that has been understood; None where it is not there any more.

    Only the checksum is looked at: equal to the one noted, it says that nothing has changed.

    Args:
        place: Where the message lies.
        descriptor: The file.
        schema: The schema in its first message.
        rows: Number of positions.
    """
    message = os.pread(descriptor, place.size, place.start)
    digits = message[place.checksum_at : place.checksum_at + len(NO_CRC)]
    if len(message) != place.size or digits != place.checksum:
        return None
    if not _is_intact(message, place.checksum_at, place.checksum):
        return None
    if place.columns is None:
        return _positions(_record_batch(message, schema))
    return Positions(
        *(
            np.frombuffer(message, dtype, rows, offset)
            for dtype, offset in zip(_DTYPES.values(), place.columns, strict=True)
        )
    )


def encode(chunk: StoredChunk) -> bytes:
    """The message of a chunk.

    Raises:
        ValueError: A column does not fit its type, or the facts are no JSON.
    """
    columns = []
    for name, dtype in _DTYPES.items():
        given = np.asarray(getattr(chunk.positions, name))
        column = np.ascontiguousarray(given, dtype)
        if given.dtype != dtype and not np.array_equal(column, given):
            raise ValueError(f"{name} does not fit {np.dtype(dtype)}")
        columns.append(pa.array(column))
    metadata = {
        "setting": chunk.key.setting,
        "chunk": str(chunk.key.chunk),
        "facts": json.dumps(chunk.facts.to_json(), allow_nan=False),
        "crc32": NO_CRC,
    }
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, POSITIONS_SCHEMA) as stream:
        batch = pa.record_batch(columns, schema=POSITIONS_SCHEMA)
        stream.write_batch(batch, custom_metadata=metadata)
    _, frame = frames(sink, sink.tell())
    message = bytearray(sink.getbuffer()[frame.start : frame.end])
    offset = frame.metadata["crc32"][0]
    message[offset : offset + len(NO_CRC)] = checksum(message)
    return bytes(message)


def read_schema(frame: Frame) -> tuple[pa.Schema, str]:
    """The schema in the first message of a file, and what it holds more than version 1.

    Returns:
        The schema, and words that follow the file's name and a colon, "" for version 1.

    Raises:
        UnknownContent: Positions cannot be read from such a file.
    """
    difference_of(frame)
    try:
        schema = pa.ipc.read_schema(pa.py_buffer(frame.header))
        found = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
        columns = [Field(field.name, str(field.type), field.nullable) for field in schema]
    except (pa.ArrowException, OSError, EOFError, ValueError) as error:
        raise UnknownContent(NOT_POSITIONS) from error
    more = difference(columns, found)
    if not more and not schema.equals(POSITIONS_SCHEMA, check_metadata=True):
        more = "its schema is not that of version 1"
    return (schema if more else POSITIONS_SCHEMA), more


def _widths(schema: pa.Schema) -> Sequence[int | None]:
    """Bytes of a value of each column; None where that varies."""
    return _WIDTHS if schema is POSITIONS_SCHEMA else [_width(field.type) for field in schema]


def _width(kind: pa.DataType) -> int | None:
    try:
        return None if kind.bit_width % 8 else kind.bit_width // 8
    except ValueError:
        return None


def decode(frame: Frame, file: BinaryIO, schema: pa.Schema) -> StoredChunk | None:
    """The chunk in a message behind the schema; None where the message is damaged.

    Columns that version 1 does not have are left out.

    Raises:
        UnknownContent: The message is intact and not understood.
    """
    message = _undamaged(frame, file)
    if message is None:
        return None
    if what := unknown_keys(set(frame.metadata)) or foreign_body(frame, _widths(schema)):
        raise UnknownContent(what)
    try:
        key = CellKey(
            frame.metadata["setting"][1].decode(), int(frame.metadata["chunk"][1].decode())
        )
        facts = ChunkFacts.from_json(json.loads(frame.metadata["facts"][1]))
        batch = _record_batch(message, schema)
        batch.validate(full=True)
        if any(batch.column(name).null_count for name in _DTYPES):
            raise ValueError("it holds nulls")
        positions = _positions(batch)
        if fault := key_fault(key, positions):
            raise ValueError(fault)
    except (
        pa.ArrowException,
        OSError,
        EOFError,
        ValueError,
        IndexError,
        struct.error,
        RecursionError,
    ) as error:
        raise UnknownContent(NOT_VERSION_1) from error
    return StoredChunk(key, positions, facts)


def _record_batch(message: bytes, schema: pa.Schema) -> pa.RecordBatch:
    return pa.ipc.read_record_batch(pa.ipc.read_message(pa.py_buffer(message)), schema)


def _positions(batch: pa.RecordBatch) -> Positions:
    return Positions(*(batch.column(name).to_numpy() for name in _DTYPES))


def _undamaged(frame: Frame, file: BinaryIO) -> bytes | None:
    """The bytes of a message; None where they do not fit its checksum.

    Raises:
        UnknownContent: The message has no checksum, and never had one.
    """
    if "crc32" not in frame.metadata:
        # A flipped bit may hide one name, or the whole list from the parser, but not its letters.
        if sum(name.encode() in frame.header for name in BATCH_KEYS) >= len(BATCH_KEYS) - 1:
            return None
        if frame.kind == HeaderType.RECORD_BATCH:
            raise UnknownContent("it holds a batch without a checksum")
        if frame.kind == HeaderType.SCHEMA:
            raise UnknownContent("it holds a second schema")
        raise UnknownContent(f"it holds a message of the unknown kind {frame.kind}")
    file.seek(frame.start)
    message = file.read(frame.size)
    if len(message) != frame.size or not _is_intact(message, *frame.metadata["crc32"]):
        return None
    return message


def _is_intact(message: bytes, at: int, digits: bytes) -> bool:
    """Whether the digits of a checksum that stand at a byte of a message are right."""
    view = memoryview(message)
    crc = zlib.crc32(NO_CRC, zlib.crc32(view[:at]))
    return b"%08x" % zlib.crc32(view[at + len(NO_CRC) :], crc) == digits


def checksum(message: bytes | bytearray) -> bytes:
    """The CRC-32 of a message as eight hexadecimal digits."""
    return b"%08x" % zlib.crc32(message)


def key_fault(key: CellKey, positions: Positions) -> str:
    """Why these rows cannot be those of a cell; "" where they can."""
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
    if int(chunk[0]) != key.chunk:
        return f"they are of chunk {int(chunk[0])}, not of {key.chunk}"
    if position[0] < 0 or bool((np.diff(position) <= 0).any()):
        return "they are not in ascending order"
    return ""
