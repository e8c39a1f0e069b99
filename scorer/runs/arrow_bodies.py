"""How the body of a record batch is laid out, by its metadata: what pyarrow would do with it.

Looked at before pyarrow is: a compressed body of a few bytes can inflate to any size, and lengths
that do not belong together can name memory that the file does not fill.

Source: the Arrow columnar format, "RecordBatch message", and its ``Message.fbs``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from scorer.runs.arrow_messages import Frame, HeaderType, Table
from scorer.runs.positions_schema import NOT_VERSION_1

# Slots of the flatbuffers tables.
_HEADER, _BODY_LENGTH = 2, 3
_LENGTH, _NODES, _BUFFERS, _COMPRESSION, _VARIADIC = 0, 1, 2, 3, 4
_PAIR = struct.Struct("<qq")
# Buffers begin at multiples of this many bytes, or of a divisor of it.
_ALIGNMENT = 64


def foreign_body(frame: Frame, widths: Sequence[int | None]) -> str:
    """What is in a message that no version has written so, in words that follow the file's name.

    Args:
        frame: A message whose checksum is right.
        widths: Bytes of a value of each column of the file's schema; None where that varies.

    Returns:
        "" for a record batch of these columns, uncompressed, whose buffers lie in the body; where
        all widths are known, also of the size that their rows take.
    """
    try:
        if frame.kind != HeaderType.RECORD_BATCH:
            return NOT_VERSION_1
        message = Table.message(frame)
        body = message.number(_BODY_LENGTH, "<q")
        batch = message.table(_HEADER)
        if batch.slot(_COMPRESSION) is not None:
            return "it holds a compressed batch"
        rows = batch.number(_LENGTH, "<q")
        nodes, buffers = list(_pairs(batch, _NODES)), list(_pairs(batch, _BUFFERS))
    except (struct.error, IndexError, ValueError):
        return NOT_VERSION_1
    fits = (
        batch.slot(_VARIADIC) is None
        and len(nodes) == len(widths)
        and all(length == rows for length, _ in nodes)
        and _lie_in(buffers, body)
        and (None in widths or _fill(buffers, widths, rows, body))
    )
    return "" if fits else NOT_VERSION_1


def column_offsets(frame: Frame) -> list[int]:
    """Byte of a message at which the values of each column begin.

    Args:
        frame: A record batch in which :func:`foreign_body` found nothing, all widths known.
    """
    buffers = _pairs(Table.message(frame).table(_HEADER), _BUFFERS)
    return [len(frame.header) + offset for offset, _ in buffers][1::2]


def _lie_in(buffers: list[tuple[int, int]], body: int) -> bool:
    """Whether buffers lie one behind the other in a body of so many bytes."""
    end = 0
    for offset, length in buffers:
        if length < 0 or offset < end or length > body - offset:
            return False
        end = offset + length
    return True


def _fill(
    buffers: list[tuple[int, int]], widths: Sequence[int | None], rows: int, body: int
) -> bool:
    """Whether two buffers of each column have the size of its rows, and the body nothing else.

    The first, which says which values are not null, may be empty.
    """
    if len(buffers) != 2 * len(widths):
        return False
    wanted = [(rows * width, (rows + 7) // 8) for width in widths if width is not None]
    end = 0
    for i, (offset, length) in enumerate(buffers):
        size, bits = wanted[i // 2]
        fits = _is_padded(length, size) if i % 2 else length == 0 or _is_padded(length, bits)
        if not fits or offset - end >= _ALIGNMENT:
            return False
        end = offset + length
    return body - end < _ALIGNMENT


def _is_padded(length: int, wanted: int) -> bool:
    return wanted <= length < wanted + _ALIGNMENT


def _pairs(table: Table, index: int) -> Iterator[tuple[int, int]]:
    """The structs of two numbers of a vector: ``FieldNode`` or ``Buffer``."""
    at = table.target(index)
    (count,) = struct.unpack_from("<I", table.data, at)
    if at + 4 + _PAIR.size * count > len(table.data):
        raise IndexError(index)
    return _PAIR.iter_unpack(table.data[at + 4 : at + 4 + _PAIR.size * count])
