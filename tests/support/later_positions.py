"""The positions file of a run as a later version, or another program, would have written it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
from signed_batches import signed


def rewrite(path: Path, *, column: str = "", version: str = "1", **keys: str) -> bytes:
    """Rewrite a file with right checksums; return its new bytes.

    Args:
        path: The file, of version 1.
        column: Name of a column to add.
        version: Version that the schema names.
        keys: Metadata to add to the last batch.
    """
    with pa.ipc.open_stream(path.read_bytes()) as reader:
        schema = reader.schema.with_metadata({"qfid": "positions", "version": version})
        batches = list(reader.iter_batches_with_custom_metadata())
    if column:
        schema = schema.append(pa.field(column, pa.float32()))
    data = schema.serialize().to_pybytes()
    for number, (batch, metadata) in enumerate(batches, 1):
        columns = [*batch.columns, *([pa.nulls(len(batch), pa.float32())] if column else [])]
        setting, chunk, facts = (metadata[key].decode() for key in (b"setting", b"chunk", b"facts"))
        more = keys if number == len(batches) else {}
        data += signed(setting, chunk, facts, pa.record_batch(columns, schema=schema), **more)
    path.write_bytes(data)
    return data
