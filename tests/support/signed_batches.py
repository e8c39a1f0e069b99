"""Batches of a positions file with a right checksum, whatever they say."""

from __future__ import annotations

import dataclasses
import io

import pyarrow as pa
import pyarrow.ipc
from positions_files import positions

from scorer.runs import arrow_messages
from scorer.runs.positions_format import POSITIONS_SCHEMA, checksum
from scorer.stats.positions import Positions

GOOD = positions(4)


def signed(
    setting: str,
    chunk: object,
    facts: str,
    table: pa.RecordBatch,
    options: pa.ipc.IpcWriteOptions | None = None,
    **more: str,
) -> bytes:
    """A message with a right checksum, whatever it says."""
    metadata = {"setting": setting, "chunk": str(chunk), "facts": facts, "crc32": "0" * 8, **more}
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
        stream.write_batch(table, custom_metadata=metadata)
    frame = list(arrow_messages.frames(sink, sink.tell()))[1]
    message = bytearray(sink.getvalue()[frame.start : frame.end])
    at = frame.metadata["crc32"][0]
    message[at : at + 8] = checksum(message)
    return bytes(message)


def table(rows: Positions, schema: pa.Schema = POSITIONS_SCHEMA) -> pa.RecordBatch:
    columns = [pa.array(getattr(rows, field.name)) for field in dataclasses.fields(Positions)]
    return pa.record_batch(columns, schema=schema)
