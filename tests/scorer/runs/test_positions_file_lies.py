"""Batches whose checksum is right and whose content is not."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest
from test_positions_file import BATCHES, expect, path, positions

from scorer.runs import arrow_messages
from scorer.runs import positions_file as arrow_stream
from scorer.runs.positions_file import PositionsWriter, read_positions
from scorer.stats.positions import Positions

__all__ = ["path"]


def signed(setting: str, chunk: object, facts: str, table: pa.RecordBatch, **more: str) -> bytes:
    """A message with a right checksum, whatever it says."""
    metadata = {"setting": setting, "chunk": str(chunk), "facts": facts, "crc32": "0" * 8, **more}
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_batch(table, custom_metadata=metadata)
    frame = list(arrow_messages.frames(sink, sink.tell()))[1]
    message = bytearray(sink.getvalue()[frame.start : frame.end])
    at = frame.metadata["crc32"][0]
    message[at : at + 8] = arrow_stream._digits(message)
    return bytes(message)


def table(rows: Positions, schema: pa.Schema = arrow_stream.SCHEMA) -> pa.RecordBatch:
    columns = [pa.array(getattr(rows, field.name)) for field in dataclasses.fields(Positions)]
    return pa.record_batch(columns, schema=schema)


GOOD = positions(4)
LIES = {
    "another chunk": signed("8", 5, "{}", table(GOOD)),
    "chunk no number": signed("8", "four", "{}", table(GOOD)),
    "facts no object": signed("8", 4, "[]", table(GOOD)),
    "facts no JSON": signed("8", 4, "{", table(GOOD)),
    "facts too deep": signed("8", 4, "[" * 100_000, table(GOOD)),
    "an unknown key": signed("8", 4, "{}", table(GOOD), more=""),
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
        table(GOOD, pa.schema([f.with_nullable(True) for f in arrow_stream.SCHEMA])).set_column(
            3, pa.field("kl", pa.float64()), pa.array([0.1, None, 0.2])
        ),
    ),
    "fewer columns": signed("8", 4, "{}", table(GOOD).select(["chunk", "position"])),
    "a second schema": arrow_stream.SCHEMA.serialize().to_pybytes(),
}


@pytest.mark.parametrize("lie", LIES)
def test_batches_that_lie_are_cut_off_however_well_signed(path: Path, lie: str) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + LIES[lie])
    expect(path, 3)
    with PositionsWriter(path) as writer:
        assert writer.dropped_bytes == len(LIES[lie])


def test_the_signed_messages_of_these_tests_are_read_where_they_do_not_lie(path: Path) -> None:
    path.write_bytes(path.read_bytes() + signed("8", 4, "{}", table(GOOD)))
    assert [batch[:2] for batch in read_positions(path)] == [*BATCHES, ("8", 4)]
