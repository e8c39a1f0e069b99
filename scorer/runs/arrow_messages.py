"""The frame of an Arrow IPC stream: where each message lies and what its metadata says.

Pure standard library, because listing runs must not import pyarrow. Source: the Arrow columnar
format, "Encapsulated message format", and its ``Message.fbs``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import BinaryIO

CONTINUATION = b"\xff\xff\xff\xff"
PREFIX_BYTES = 8

# Slots of the flatbuffers tables, in the order of Message.fbs.
_HEADER_TYPE, _BODY_LENGTH, _CUSTOM_METADATA = 1, 3, 4
_KEY, _VALUE = 0, 1


class HeaderType(IntEnum):
    """Kinds of message that version 1 of the positions file uses, numbered as in Message.fbs."""

    SCHEMA = 1
    RECORD_BATCH = 3


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of a stream.

    Attributes:
        kind: A :class:`HeaderType`, or another number of ``Message.fbs``.
        start: Byte of the file at which it begins.
        header: Bytes of the prefix and the flatbuffer, which the body follows.
        size: Bytes of the whole message.
        metadata: Key to (offset in the message, value) of the message's custom metadata.
    """

    kind: int
    start: int
    header: bytes
    size: int
    metadata: dict[str, tuple[int, bytes]]

    @property
    def end(self) -> int:
        """The byte behind the message."""
        return self.start + self.size


def frames(file: BinaryIO, size: int, start: int = 0) -> Iterator[Frame]:
    """The messages of a stream up to its end, its end-of-stream marker or the first damage.

    Only headers are read, so a frame says nothing about its body but that the file is long
    enough to hold it. The caller may move the file's position between frames.

    Args:
        file: The stream, seekable.
        size: Bytes of the file to look at.
        start: Byte at which a message begins.
    """
    while (frame := frame_at(file, start, size)) is not None:
        yield frame
        start = frame.end


def frame_at(file: BinaryIO, at: int, size: int) -> Frame | None:
    """The message that begins at byte ``at`` of ``size``; None where no whole one does."""
    file.seek(at)
    prefix = file.read(PREFIX_BYTES)
    if len(prefix) < PREFIX_BYTES or prefix[:4] != CONTINUATION:
        return None
    (length,) = struct.unpack_from("<i", prefix, 4)
    if length <= 0 or length > size - at - PREFIX_BYTES:
        return None
    flat = file.read(length)
    if len(flat) < length:
        return None
    try:
        message = Table.root(flat)
        kind = message.number(_HEADER_TYPE, "<B")
        body = message.number(_BODY_LENGTH, "<q")
        metadata = {
            key: (PREFIX_BYTES + offset, value)
            for key, (offset, value) in message.pairs(_CUSTOM_METADATA).items()
        }
    except (struct.error, IndexError, ValueError):
        return None
    if body < 0 or body > size - at - PREFIX_BYTES - length:
        return None
    return Frame(kind, at, prefix + flat, PREFIX_BYTES + length + body, metadata)


class Table:
    """A flatbuffers table, read with bounds checked: the bytes may be anything.

    Its methods raise ``struct.error``, ``IndexError`` or ``ValueError`` where the bytes are no
    such table.
    """

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at
        self.slots = at - _unpack("<i", data, at)

    @classmethod
    def root(cls, data: bytes) -> Table:
        """The outermost table."""
        return cls(data, _unpack("<I", data, 0))

    @classmethod
    def message(cls, frame: Frame) -> Table:
        """The ``Message`` table of a frame."""
        return cls.root(frame.header[PREFIX_BYTES:])

    def slot(self, index: int) -> int | None:
        """Where the field lies, or None where the table leaves it out."""
        at = 4 + 2 * index
        if at + 2 > _unpack("<H", self.data, self.slots):
            return None
        offset = _unpack("<H", self.data, self.slots + at)
        return self.at + offset if offset else None

    def number(self, index: int, form: str) -> int:
        """A number of a ``struct`` format; 0 where it is left out."""
        at = self.slot(index)
        return 0 if at is None else _unpack(form, self.data, at)

    def target(self, index: int) -> int:
        """Where what the field points to lies."""
        at = self.slot(index)
        if at is None:
            raise IndexError(index)
        return at + _unpack("<I", self.data, at)

    def string(self, index: int) -> tuple[int, bytes]:
        """Where a string begins, and the string."""
        at = self.target(index)
        begin, length = at + 4, _unpack("<I", self.data, at)
        if begin + length > len(self.data):
            raise IndexError(index)
        return begin, self.data[begin : begin + length]

    def table(self, index: int) -> Table:
        """A table inside this one."""
        return Table(self.data, self.target(index))

    def tables(self, index: int) -> Iterator[Table]:
        """The tables of a vector; none where it is left out."""
        if self.slot(index) is None:
            return
        at = self.target(index)
        count = _unpack("<I", self.data, at)
        if at + 4 + 4 * count > len(self.data):
            raise IndexError(index)
        for entry in range(at + 4, at + 4 + 4 * count, 4):
            yield Table(self.data, entry + _unpack("<I", self.data, entry))

    def pairs(self, index: int) -> dict[str, tuple[int, bytes]]:
        """A vector of ``KeyValue``: key to (where its value begins, the value)."""
        found = {}
        for pair in self.tables(index):
            _, key = pair.string(_KEY)
            found[key.decode()] = pair.string(_VALUE)
        return found


def _unpack(form: str, data: bytes, at: int) -> int:
    if at < 0:  # struct would count from the end
        raise IndexError(at)
    value: int = struct.unpack_from(form, data, at)[0]
    return value
