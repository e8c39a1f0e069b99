"""Files that another version or another program wrote: none of their bytes is ever changed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest
from positions_files import BATCHES, FACTS, keys, positions, three_batches
from project import ROOT
from signed_batches import GOOD, signed, table

from scorer.common.errors import InputError
from scorer.runs.arrow_messages import Table, frame_at, frames
from scorer.runs.grid import CellKey
from scorer.runs.positions_file import PositionsWriter, read_positions
from scorer.runs.positions_format import POSITIONS_SCHEMA, read_schema
from scorer.runs.positions_schema import UnknownContent, difference_of

SCHEMA_BYTES = POSITIONS_SCHEMA.serialize().to_pybytes()
EXTRA = pa.field("entropy", pa.float32(), True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return three_batches(tmp_path)


def stream(schema: pa.Schema, **more: str) -> bytes:
    """A file of two chunks of setting ``8`` with another schema, checksums right."""
    data = schema.serialize().to_pybytes()
    for chunk in range(2):
        rows = table(positions(chunk))
        columns = [
            rows.column(field.name).cast(field.type)
            if field.name in rows.schema.names
            else pa.array([None] * rows.num_rows, field.type)
            for field in schema
        ]
        data += signed("8", chunk, "{}", pa.record_batch(columns, schema=schema), **more)
    return data


def version(number: str) -> pa.Schema:
    return POSITIONS_SCHEMA.with_metadata({"qfid": "positions", "version": number})


def big_endian(schema: bytes) -> bytes:
    """The same schema with another field of its table taken for its byte order, which is not 0."""
    frame = next(frames(io.BytesIO(schema), len(schema)))
    data, at = bytearray(schema), 8 + Table.message(frame).table(2).slots + 4  # two slots
    data[at : at + 2] = data[at + 2 : at + 4]
    return bytes(data)


READ_ONLY = {
    "one column more": (stream(POSITIONS_SCHEMA.append(EXTRA)), "a column more, `entropy`"),
    "a column between": (stream(POSITIONS_SCHEMA.insert(2, EXTRA)), "a column more, `entropy`"),
    "another order": (
        stream(pa.schema(list(POSITIONS_SCHEMA)[::-1], POSITIONS_SCHEMA.metadata)),
        "columns in another order",
    ),
    "nulls allowed": (
        stream(POSITIONS_SCHEMA.set(3, pa.field("kl", pa.float64(), True))),
        "column `kl` may hold nulls",
    ),
    "more metadata": (
        stream(POSITIONS_SCHEMA.with_metadata({**POSITIONS_SCHEMA.metadata, b"roles": b"x"})),
        "unknown metadata, `roles`",
    ),
}
UNREADABLE = {
    "another version": (stream(version("2")), "version `2`, not `1`"),
    "a hostile version": (stream(version("2\n\x1b[31m" + "x" * 500)), "version"),
    "a column less": (stream(POSITIONS_SCHEMA.remove(9)), "lacks the column `top_quant_logprob`"),
    "another type": (
        stream(POSITIONS_SCHEMA.set(3, pa.field("kl", pa.float32(), False))),
        "column `kl` is float, not double",
    ),
    "a dictionary": (
        POSITIONS_SCHEMA.set(3, pa.field("kl", pa.dictionary(pa.int32(), pa.float64()), False))
        .serialize()
        .to_pybytes()
        + bytes(40),
        "column `kl` is dictionary-encoded, not double",
    ),
    "big-endian": (big_endian(SCHEMA_BYTES) + bytes(40), "its numbers are big-endian"),
    "no version": (stream(POSITIONS_SCHEMA.remove_metadata()), "not a positions file"),
    "an Arrow stream of something else": (
        pa.schema([pa.field("x", pa.utf8())]).serialize().to_pybytes(),
        "not a positions file",
    ),
    "a passage": (SCHEMA_BYTES + stream(POSITIONS_SCHEMA, passage="chat")[len(SCHEMA_BYTES) :],
                  "a batch has unknown metadata, `passage`"),
    "text": (b"not Arrow at all\n" * 40, "not a positions file"),
    "an Arrow file": (b"ARROW1\0\0" + SCHEMA_BYTES, "not a positions file"),
    "half a foreign schema": (pa.schema([EXTRA] * 9).serialize().to_pybytes()[:100],
                              "not a positions file"),
    "ones": (b"\xff" * 4096, "not a positions file"),
}  # fmt: skip


def refused(path: Path, text: str) -> None:
    """A writer refuses the file in one line and leaves it as it is."""
    before, stat = path.read_bytes(), path.stat()
    closed: list[str] = []
    with pytest.raises(InputError) as caught:
        PositionsWriter(path, on_close=lambda: closed.append("closed"))
    assert text in caught.value.message and str(path) in caught.value.message
    assert caught.value.message.isprintable() and len(caught.value.message) < 400
    assert caught.value.hint and "\n" not in caught.value.hint
    assert path.read_bytes() == before and path.stat().st_mtime_ns == stat.st_mtime_ns
    assert not closed


def unreadable(path: Path, text: str) -> None:
    with pytest.raises(InputError) as caught:
        list(read_positions(path))
    assert text in caught.value.message and "\n" not in caught.value.message


@pytest.mark.parametrize("name", READ_ONLY)
def test_a_file_that_holds_more_is_read_and_not_written_to(tmp_path: Path, name: str) -> None:
    path = tmp_path / "positions.arrow"
    data, text = READ_ONLY[name]
    path.write_bytes(data)
    reader = read_positions(path)
    found = list(reader)
    assert [chunk.key for chunk in found] == [CellKey("8", 0), CellKey("8", 1)]
    for chunk in found:
        np.testing.assert_array_equal(chunk.positions.kl, positions(chunk.key.chunk).kl)
        np.testing.assert_array_equal(chunk.positions.token, positions(chunk.key.chunk).token)
    assert text in reader.read_only and reader.ignored_bytes == 0
    refused(path, text)


@pytest.mark.parametrize("name", READ_ONLY)
def test_a_file_that_holds_more_is_not_repaired_either(tmp_path: Path, name: str) -> None:
    path = tmp_path / "positions.arrow"
    data, text = READ_ONLY[name]
    path.write_bytes(data[:-20])
    reader = read_positions(path)
    assert len(list(reader)) == 1 and reader.ignored_bytes > 0
    refused(path, text)


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_is_not_understood_is_neither_read_nor_written_to(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "positions.arrow"
    data, text = UNREADABLE[name]
    for end in {len(data), len(data) - 20}:
        path.write_bytes(data[:end])
        unreadable(path, text)
        refused(path, text)


@pytest.mark.parametrize("name", [*READ_ONLY, *UNREADABLE])
def test_lists_say_of_a_schema_what_readers_say(name: str) -> None:
    data = {**READ_ONLY, **UNREADABLE}[name][0]
    frame = frame_at(io.BytesIO(data), 0, len(data))
    if frame is None:
        assert not data.startswith(SCHEMA_BYTES[:8])
        return
    said = []
    for look in (difference_of, lambda frame: read_schema(frame)[1]):
        try:
            said.append(look(frame))
        except UnknownContent as unknown:
            said.append(unknown.what)
    assert said[0] == said[1]


@pytest.mark.parametrize("name", [*READ_ONLY, *UNREADABLE])
def test_a_foreign_file_cut_at_any_byte_is_never_changed(tmp_path: Path, name: str) -> None:
    path = tmp_path / "positions.arrow"
    data = {**READ_ONLY, **UNREADABLE}[name][0]
    for end in range(0, len(data), 61):
        path.write_bytes(data[:end])
        try:
            PositionsWriter(path).close()
        except InputError:
            assert path.read_bytes() == data[:end]
        else:
            # What is left is the beginning of our own schema, or of a whole file of ours.
            assert path.read_bytes().startswith(data[:end]) or data.startswith(SCHEMA_BYTES)


def foreign_messages() -> dict[str, bytes]:
    """Messages that no version 1 wrote, as they may follow intact batches."""
    plain = io.BytesIO()
    with pa.ipc.new_stream(plain, POSITIONS_SCHEMA) as writer:
        writer.write_batch(table(GOOD))
    coded = io.BytesIO()
    words = pa.array(["a", "b", "a"]).dictionary_encode()
    with pa.ipc.new_stream(coded, pa.schema([pa.field("w", words.type)])) as writer:
        writer.write_batch(pa.record_batch([words], names=["w"]))
    coded_schema = pa.schema([pa.field("w", words.type)]).serialize().size
    return {
        "a key more": signed("8", 4, "{}", table(GOOD), more=""),
        "a passage": signed("8", 4, "{}", table(GOOD), passage="2"),
        "a batch without metadata": plain.getvalue()[len(SCHEMA_BYTES) : -8],
        "a dictionary": coded.getvalue()[coded_schema:-8],
        "a second schema": SCHEMA_BYTES,
    }


@pytest.mark.parametrize("name", foreign_messages())
@pytest.mark.parametrize("damaged", [False, True])
def test_a_message_of_another_version_is_never_cut_off(
    path: Path, name: str, damaged: bool
) -> None:
    whole = bytearray(path.read_bytes())
    if damaged:
        whole[-1] ^= 1  # of the last batch's body: its checksum is wrong
    data = bytes(whole) + foreign_messages()[name]
    path.write_bytes(data)
    if damaged:
        assert keys(path) == BATCHES[:2]
    else:
        unreadable(path, "cannot read it")
    refused(path, "`more`" if name == "a key more" else "it holds" if "passage" not in name else "")
    path.write_bytes(data + bytes(40))  # and a torn tail behind it
    refused(path, "")


def test_a_torn_message_of_another_version_is_a_torn_tail(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + signed("8", 4, "{}", table(GOOD), passage="2")[:-1])
    with PositionsWriter(path) as writer:
        assert writer.dropped_bytes > 0
    assert path.read_bytes() == whole


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_batches_are_refused_before_they_inflate(
    path: Path, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = pa.ipc.IpcWriteOptions(compression=codec)
    rows = table(positions(4, rows=400))
    message = signed("8", 4, "{}", rows, options=options)
    assert len(message) < len(signed("8", 4, "{}", rows))
    whole = path.read_bytes() + message
    path.write_bytes(whole)
    reader = read_positions(path)
    assert [next(reader).key for _ in BATCHES] == BATCHES
    monkeypatch.setattr(pa.ipc, "read_record_batch", None)  # nothing is given to pyarrow
    with pytest.raises(InputError, match="it holds a compressed batch; this version") as caught:
        next(reader)
    assert "\n" not in caught.value.message
    monkeypatch.undo()
    refused(path, "it holds a compressed batch")
    # With a wrong checksum it is damage like any other.
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with PositionsWriter(path) as writer:
        assert writer.stored == set(BATCHES)


@pytest.mark.parametrize("tail", [b"", bytes(1), bytes(4000)], ids=["cut", "zero", "zeros"])
def test_the_beginning_of_our_own_schema_is_completed(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "positions.arrow"
    for cut in range(len(SCHEMA_BYTES)):
        data = SCHEMA_BYTES[:cut] + tail
        path.write_bytes(data)
        # The schema ends in zeros, so that zeros may complete it.
        ignored = len(data) - len(SCHEMA_BYTES) * data.startswith(SCHEMA_BYTES)
        reader = read_positions(path)
        assert list(reader) == [] and reader.ignored_bytes == ignored
        with PositionsWriter(path) as writer:
            assert writer.dropped_bytes == ignored
        assert path.read_bytes() == SCHEMA_BYTES


def test_a_flipped_byte_in_the_schema_costs_no_batch(path: Path) -> None:
    whole = path.read_bytes()
    flips = [(at, 1 << at % 8) for at in range(len(SCHEMA_BYTES))]
    flips += [(at, 1 << bit) for at in range(4, 8) for bit in range(8)]  # of the length
    for at, flip in flips:
        harmed = bytearray(whole)
        harmed[at] ^= flip
        path.write_bytes(harmed)
        try:
            found: Any = keys(path)
        except InputError:
            found = None
        assert found in (BATCHES, None)
        try:
            with PositionsWriter(path) as writer:
                assert writer.stored == set(BATCHES)
        except InputError:
            pass
        assert path.read_bytes() == harmed


def test_a_file_of_version_1_stays_one_when_it_is_appended_to(tmp_path: Path) -> None:
    saved = (ROOT / "tests" / "golden" / "saved_run" / "positions.arrow").read_bytes()
    path = tmp_path / "positions.arrow"
    path.write_bytes(saved)
    with PositionsWriter(path) as writer:
        assert writer.dropped_bytes == 0 and len(writer.stored) == 4
        assert writer.append(CellKey("3", 0), positions(0), FACTS)
    data = path.read_bytes()
    assert data.startswith(saved) and len(data) > len(saved)
    with pa.ipc.open_stream(data) as reader:
        assert reader.schema.metadata == {b"qfid": b"positions", b"version": b"1"}
        found = [sorted(metadata) for _, metadata in reader.iter_batches_with_custom_metadata()]
    assert found == [[b"chunk", b"crc32", b"facts", b"setting"]] * 5


def test_a_file_of_version_1_takes_no_passage(path: Path) -> None:
    whole = path.read_bytes()
    with PositionsWriter(path) as writer, pytest.raises(InputError, match="passage `chat`"):
        writer.append(CellKey("8", 5, "chat"), positions(5), FACTS)
    assert path.read_bytes() == whole
