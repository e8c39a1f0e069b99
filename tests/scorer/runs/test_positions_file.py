"""The stream of scored positions: what is appended comes back, and nothing else ever does."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from positions_files import BATCHES, FACTS, keys, positions, same, three_batches

from scorer.common.errors import InputError, QfidError
from scorer.runs import arrow_messages
from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.grid import CellKey
from scorer.runs.positions_file import PositionsWriter, read_positions
from scorer.runs.positions_format import POSITIONS_SCHEMA, StoredChunk, encode
from scorer.stats.positions import Positions

EOS = b"\xff\xff\xff\xff\0\0\0\0"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return three_batches(tmp_path)


def expect(path: Path, count: int) -> None:
    """The first ``count`` batches can be read, and nothing else."""
    found = list(read_positions(path))
    assert [chunk.key for chunk in found] == BATCHES[:count]
    assert all(same(chunk.positions, positions(chunk.key.chunk)) for chunk in found)
    assert all(chunk.facts == FACTS for chunk in found)


def ends(path: Path) -> list[int]:
    """Where the schema and each batch end."""
    with path.open("rb") as file:
        return [f.end for f in arrow_messages.frames(file, path.stat().st_size)]


def test_what_is_appended_comes_back_bit_for_bit(path: Path) -> None:
    expect(path, 3)
    reader = read_positions(path)
    assert len(list(reader)) == 3
    assert reader.ignored_bytes == 0
    assert reader.good_bytes == path.stat().st_size


def test_infinite_kl_and_the_extremes_of_every_type_come_back(tmp_path: Path) -> None:
    extreme = dataclasses.replace(
        positions(2**31 - 1, 4),
        position=np.array([0, 1, 5, 2**31 - 1], np.int32),
        kl=np.array([np.inf, -1e-7, 5e-324, -0.0]),
    )
    with PositionsWriter(tmp_path / "p") as writer:
        writer.append(CellKey("8", 2**31 - 1), extreme, ChunkFacts())
    [found] = read_positions(tmp_path / "p")
    assert same(found.positions, extreme) and found.facts == ChunkFacts()
    assert found.key == CellKey("8", 2**31 - 1)
    assert np.signbit(found.positions.kl[3])


def test_any_name_of_a_setting_comes_back(tmp_path: Path) -> None:
    names = ["", "ü", "8/16\n", "x" * 5000, "東京", "\0"]
    with PositionsWriter(tmp_path / "p") as writer:
        for name in names:
            writer.append(CellKey(name, 0), positions(0), FACTS)
    assert [key.setting for key in keys(tmp_path / "p")] == names


def test_reopening_appends_without_rewriting_a_byte(path: Path) -> None:
    before, inode = path.read_bytes(), path.stat().st_ino
    with PositionsWriter(path) as writer:
        assert writer.dropped_bytes == 0
        assert writer.stored == set(BATCHES)
        writer.append(CellKey("4", 1), positions(1), FACTS)
    assert path.read_bytes().startswith(before)
    assert path.stat().st_ino == inode
    assert keys(path) == [*BATCHES, CellKey("4", 1)]


def test_any_arrow_reader_opens_the_stream(path: Path) -> None:
    stream = pa.ipc.open_stream(path)
    batch, metadata = stream.read_next_batch_with_custom_metadata()
    assert metadata[b"setting"] == b"8" and metadata[b"chunk"] == b"0"
    assert json.loads(metadata[b"facts"])["seconds"] == 0.5
    assert batch.column("kl").to_pylist() == positions(0).kl.tolist()
    assert stream.read_all().num_rows == 6


def test_the_first_of_two_batches_of_one_chunk_counts(path: Path) -> None:
    size = path.stat().st_size
    with PositionsWriter(path) as writer:
        assert writer.append(CellKey("8", 7), positions(7, seed=1), FACTS) is False
    assert path.stat().st_size == size

    forced = encode(StoredChunk(CellKey("8", 7), positions(7, seed=1), FACTS))
    path.write_bytes(path.read_bytes() + forced)
    expect(path, 3)
    assert read_positions(path).ignored_bytes == 0


def test_a_cut_at_any_byte_keeps_every_whole_batch(path: Path) -> None:
    whole, edges = path.read_bytes(), ends(path)
    assert len(edges) == 4
    # A third batch is cut like a second.
    for cut in [*range(edges[2] + 1), *range(edges[2] + 1, len(whole), 9), len(whole)]:
        path.write_bytes(whole[:cut])
        count = sum(edge <= cut for edge in edges[1:])
        reader = read_positions(path)
        assert len(list(reader)) == count
        good = max((edge for edge in edges if edge <= cut), default=0)
        assert reader.ignored_bytes == cut - good


def test_a_writer_goes_on_after_a_cut_at_any_byte_of_the_last_batch(path: Path) -> None:
    whole, edges = path.read_bytes(), ends(path)
    # Most of a batch is body, where one cut is like the next.
    for cut in [*range(edges[2], edges[2] + 24), *range(edges[2] + 24, len(whole), 5)]:
        path.write_bytes(whole[:cut])
        with PositionsWriter(path) as writer:
            assert writer.dropped_bytes == cut - edges[2]
            assert writer.stored == set(BATCHES[:2])
            writer.append(BATCHES[2], positions(7), FACTS)
        assert path.read_bytes() == whole


def test_every_flipped_byte_is_found(path: Path) -> None:
    whole, edges = path.read_bytes(), ends(path)
    for at in [*range(edges[1], edges[2]), *range(edges[2], len(whole), 5)]:
        harmed = bytearray(whole)
        # 0x20 turns the case of the checksum's own digits.
        harmed[at] ^= 0x20 if at % 2 else 1 << at // 2 % 8
        path.write_bytes(harmed)
        count = 1 if at < edges[2] else 2
        assert keys(path) == BATCHES[:count], at
        if at < edges[2] or at % 3 == 0:
            with PositionsWriter(path) as writer:
                assert writer.dropped_bytes == len(whole) - edges[count]


@pytest.mark.parametrize("length", [1, 7, 8, 9, 64, 4096])
@pytest.mark.parametrize("tail", [b"\0", b"\xff", b"{", EOS], ids=["zeros", "ones", "text", "eos"])
def test_tails_are_cut_off(path: Path, tail: bytes, length: int) -> None:
    whole = path.read_bytes()
    garbage = (tail * length)[:length]
    path.write_bytes(whole + garbage)
    expect(path, 3)
    with PositionsWriter(path) as writer:
        assert writer.dropped_bytes == len(garbage)
    assert path.read_bytes() == whole


def test_batches_behind_an_end_of_stream_marker_are_scored_again(path: Path) -> None:
    whole, edges = path.read_bytes(), ends(path)
    path.write_bytes(whole[: edges[1]] + EOS + whole[edges[1] :])
    expect(path, 1)
    with PositionsWriter(path) as writer:
        assert writer.stored == {BATCHES[0]}
        for key in BATCHES[1:]:
            writer.append(key, positions(key.chunk), FACTS)
    assert path.read_bytes() == whole
    assert pa.ipc.open_stream(path).read_all().num_rows == 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kl": np.array([0.0, np.nan, 0.0])}, "NaN"),
        ({"kl": np.zeros(2)}, "differ in length"),
        ({"chunk": np.array([1, 1, 2], np.int32)}, "not of one chunk"),
        ({"chunk": np.full(3, -1, np.int32)}, "not of one chunk"),
        ({"position": np.array([0, 2, 1], np.int32)}, "ascending"),
        ({"token": np.array([0, 2**31, 1])}, "token does not fit int32"),
        ({"top_ref": np.array([0.5, 1, 2])}, "top_ref does not fit int32"),
        ({"chunk": np.full(3, 2, np.int32)}, "of chunk 2, not of 1"),
    ],
)
def test_positions_that_are_no_chunk_are_refused(
    path: Path, change: dict[str, np.ndarray], message: str
) -> None:
    whole = path.read_bytes()
    with PositionsWriter(path) as writer, pytest.raises(ValueError, match=message):
        writer.append(CellKey("4", 1), dataclasses.replace(positions(1), **change), FACTS)
    assert path.read_bytes() == whole


def test_facts_that_are_no_json_are_refused(path: Path) -> None:
    whole = path.read_bytes()
    with PositionsWriter(path) as writer, pytest.raises(ValueError, match="JSON"):
        writer.append(CellKey("4", 1), positions(1), ChunkFacts(seconds=float("nan")))
    assert path.read_bytes() == whole


def test_a_closed_writer_refuses_and_tells_once(tmp_path: Path) -> None:
    told: list[str] = []
    writer = PositionsWriter(tmp_path / "p", on_close=lambda: told.append("closed"))
    writer.close()
    writer.close()
    assert told == ["closed"]
    with pytest.raises(ValueError, match="closed"):
        writer.append(CellKey("8", 0), positions(0), FACTS)


def test_what_is_no_regular_file_is_refused(tmp_path: Path, path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    before = path.read_bytes()
    for place in (link, tmp_path, tmp_path / "none" / "p", tmp_path / "nul\0", "/dev/null"):
        with pytest.raises(QfidError):
            PositionsWriter(place)
        with pytest.raises(QfidError):
            list(read_positions(place))
    with pytest.raises(InputError, match="does not exist"):
        list(read_positions(tmp_path / "absent"))
    assert path.read_bytes() == before


EXAMPLES = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@EXAMPLES
@given(data=st.binary(min_size=1, max_size=600))
def test_arbitrary_bytes_are_refused_and_left_alone(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "positions.arrow"
    path.write_bytes(data)
    if not POSITIONS_SCHEMA.serialize().to_pybytes().startswith(data.rstrip(b"\0")):
        for open_it in (lambda: list(read_positions(path)), lambda: PositionsWriter(path)):
            with pytest.raises(InputError, match="not a positions file"):
                open_it()
        assert path.read_bytes() == data
    else:
        assert list(read_positions(path)) == []
        PositionsWriter(path).close()
        assert read_positions(path).read_only == ""


@st.composite
def harms(draw: st.DrawFn) -> list[tuple[str, float, bytes]]:
    """Edits of a file: kind, where (as a fraction of it), bytes."""
    kind = st.sampled_from(["overwrite", "insert", "delete", "duplicate"])
    edit = st.tuples(kind, st.floats(0, 1), st.binary(min_size=1, max_size=24))
    return draw(st.lists(edit, min_size=1, max_size=4))


@EXAMPLES
@given(edits=harms())
def test_a_mutated_file_yields_only_what_was_written(
    tmp_path: Path, edits: list[tuple[str, float, bytes]]
) -> None:
    path = tmp_path / "positions.arrow"
    path.unlink(missing_ok=True)
    with PositionsWriter(path) as writer:
        for key in BATCHES:
            writer.append(key, positions(key.chunk), FACTS)
    data = path.read_bytes()
    for kind, where, part in edits:
        at = int(where * len(data))
        if kind == "overwrite":
            data = data[:at] + part + data[at + len(part) :]
        elif kind == "insert":
            data = data[:at] + part + data[at:]
        elif kind == "delete":
            data = data[:at] + data[at + len(part) :]
        else:
            data = data[:at] + data
    path.write_bytes(data)
    found: list[StoredChunk] = []
    try:
        found.extend(read_positions(path))
    except InputError:
        pass
    assert [chunk.key for chunk in found] == BATCHES[: len(found)]
    assert all(same(chunk.positions, positions(chunk.key.chunk)) for chunk in found)
    try:
        with PositionsWriter(path) as writer:
            writer.append(CellKey("4", 9), positions(9), FACTS)
    except InputError:
        assert path.read_bytes() == data
    else:
        assert keys(path) == [*BATCHES[: len(found)], CellKey("4", 9)]


@EXAMPLES
@given(chunks=st.lists(st.tuples(st.sampled_from("8642"), st.integers(0, 9), st.integers(1, 5))))
def test_any_sequence_of_batches_comes_back_over_any_number_of_openings(
    tmp_path: Path, chunks: list[tuple[str, int, int]]
) -> None:
    path = tmp_path / "positions.arrow"
    path.unlink(missing_ok=True)
    model: dict[CellKey, Positions] = {}
    for setting, chunk, rows in chunks:
        key = CellKey(setting, chunk)
        with PositionsWriter(path) as writer:
            new = writer.append(key, positions(chunk, rows), ChunkFacts(peak_memory_bytes=rows))
        assert new is (key not in model)
        model.setdefault(key, positions(chunk, rows))
    found = {c.key: c.positions for c in read_positions(path)} if path.exists() else {}
    assert list(found) == list(model)
    assert all(same(found[key], model[key]) for key in model)
