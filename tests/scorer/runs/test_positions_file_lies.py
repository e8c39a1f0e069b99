"""Batches whose checksum is right and whose content is not: never read, and never cut off."""

from __future__ import annotations

import dataclasses
import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from positions_files import BATCHES, keys, three_batches
from signed_batches import GOOD, signed, table

from scorer.common.errors import InputError
from scorer.runs.arrow_messages import Table, frames
from scorer.runs.grid import CellKey
from scorer.runs.positions_file import PositionsWriter, read_positions
from scorer.runs.positions_format import NO_CRC, POSITIONS_SCHEMA, checksum


def relaid(change: Callable[[list[int]], list[int]]) -> bytes:
    """A good batch whose number of rows, and last buffer's offset and length, are others."""
    message = bytearray(signed("8", 4, "{}", table(GOOD)))
    frame = next(frames(io.BytesIO(message), len(message)))
    batch = Table.message(frame).table(2)
    places = [8 + (batch.slot(0) or 0)]
    places += [8 + batch.target(2) + 4 + 16 * 19 + part for part in (0, 8)]
    numbers = [struct.unpack_from("<q", message, at)[0] for at in places]
    for at, number in zip(places, change(numbers), strict=True):
        struct.pack_into("<q", message, at, number)
    at = frame.metadata["crc32"][0]
    message[at : at + 8] = NO_CRC
    message[at : at + 8] = checksum(message)
    return bytes(message)


LIES = {
    "another chunk": signed("8", 5, "{}", table(GOOD)),
    "chunk no number": signed("8", "four", "{}", table(GOOD)),
    "facts no object": signed("8", 4, "[]", table(GOOD)),
    "facts no JSON": signed("8", 4, "{", table(GOOD)),
    "facts too deep": signed("8", 4, "[" * 100_000, table(GOOD)),
    "no rows": signed("8", 4, "{}", table(GOOD.select(slice(0)))),
    "two chunks": signed(
        "8", 4, "{}", table(dataclasses.replace(GOOD, chunk=np.array([4, 4, 5], np.int32)))
    ),
    "a position twice": signed(
        "8", 4, "{}", table(dataclasses.replace(GOOD, position=np.array([0, 1, 1], np.int32)))
    ),
    "NaN": signed("8", 4, "{}", table(dataclasses.replace(GOOD, kl=np.array([0, np.nan, 1])))),
    "nulls": signed(
        "8",
        4,
        "{}",
        table(GOOD, pa.schema([f.with_nullable(True) for f in POSITIONS_SCHEMA])).set_column(
            3, pa.field("kl", pa.float64()), pa.array([0.1, None, 0.2])
        ),
    ),
    "fewer columns": signed("8", 4, "{}", table(GOOD).select(["chunk", "position"])),
    "more columns": signed("8", 4, "{}", table(GOOD).append_column("x", pa.array([0.1] * 3))),
    "a column in between": signed(
        "8", 4, "{}", table(GOOD).add_column(4, "x", pa.array([0.1] * 3))
    ),
    "facts of another type": signed("8", 4, '{"seconds": "long"}', table(GOOD)),
    "rows that the body does not hold": relaid(lambda numbers: [4, *numbers[1:]]),
    "a buffer behind the body": relaid(lambda numbers: [*numbers[:-2], 1 << 40, numbers[-1]]),
    "a buffer before the body": relaid(lambda numbers: [*numbers[:-2], -64, numbers[-1]]),
    "a buffer over another": relaid(lambda numbers: [*numbers[:-2], 0, numbers[-1]]),
    "a negative length": relaid(lambda numbers: [*numbers[:-1], -1]),
    "more than its columns": signed(
        "8", 4, "{}", table(GOOD).set_column(3, "kl", pa.array(["x" * 99] * 3))
    ),
    "facts without end": signed("8", 4, '{"seconds": 1e999}', table(GOOD)),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return three_batches(tmp_path)


@pytest.mark.parametrize("lie", LIES)
def test_batches_that_lie_are_refused_and_kept(path: Path, lie: str) -> None:
    data = path.read_bytes() + LIES[lie]
    path.write_bytes(data)
    reader = read_positions(path)
    assert [next(reader).key for _ in BATCHES] == BATCHES
    for open_it in (lambda: next(reader), lambda: PositionsWriter(path)):
        with pytest.raises(InputError, match="content is not of version 1"):
            open_it()
    assert path.read_bytes() == data


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_with_a_wrong_checksum_is_damage(path: Path, lie: str) -> None:
    whole, message = path.read_bytes(), bytearray(LIES[lie])
    message[-1] ^= 1
    path.write_bytes(whole + message)
    with PositionsWriter(path) as writer:
        assert writer.dropped_bytes == len(message) and writer.stored == set(BATCHES)
    assert path.read_bytes() == whole


def test_the_signed_messages_of_these_tests_are_read_where_they_do_not_lie(path: Path) -> None:
    path.write_bytes(path.read_bytes() + signed("8", 4, "{}", table(GOOD)))
    assert keys(path) == [*BATCHES, CellKey("8", 4)]
