"""What a run stores, read setting by setting, is what one pass over the file reads."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from positions_files import FACTS, positions, same
from signed_batches import signed, table

from scorer.common.errors import QfidError
from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.grid import CellKey
from scorer.runs.positions_file import PositionsWriter, read_positions
from scorer.runs.positions_format import POSITIONS_SCHEMA
from scorer.runs.stored_chunks import StoredChunks, stored_chunks
from scorer.stats.positions import Positions, SummaryColumns

ORDER = (5, 0, 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two settings by turns, chunks in another order than their indices."""
    path = tmp_path / "positions.arrow"
    with PositionsWriter(path) as writer:
        for chunk in ORDER:
            writer.append(CellKey("8", chunk), positions(chunk, seed=1), FACTS)
            writer.append(CellKey("4", chunk), positions(chunk, seed=2), ChunkFacts(seconds=chunk))
    return path


def test_chunks_are_read_in_ascending_order_with_their_facts(path: Path) -> None:
    stored = stored_chunks(path)
    assert list(stored) == ["8", "4"]
    wanted = {chunk.key: chunk for chunk in read_positions(path)}
    for name, chunks in stored.items():
        assert chunks.chunks == sorted(ORDER) and len(chunks) == 3
        assert chunks.sizes == [len(wanted[CellKey(name, c)].positions) for c in sorted(ORDER)]
        for chunk, (own, facts) in zip(sorted(ORDER), chunks, strict=True):
            assert same(own, wanted[CellKey(name, chunk)].positions)
            assert facts == wanted[CellKey(name, chunk)].facts
            assert not own.kl.flags.writeable
    assert [facts.seconds for facts in stored["4"].facts] == [0.0, 3.0, 5.0]


def test_single_chunks_slices_and_selections(path: Path) -> None:
    chunks = stored_chunks(path)["4"]
    last, facts = chunks[-1]
    assert same(last, positions(5, seed=2)) and facts.seconds == 5.0
    assert chunks[1:].chunks == chunks.without({0}).chunks == [3, 5]
    assert chunks.only({3, 9}).chunks == [3] and not chunks.only(())
    with pytest.raises(IndexError):
        chunks[3]


def test_columns_are_those_of_all_positions_joined(path: Path) -> None:
    chunks = stored_chunks(path)["8"]
    whole = SummaryColumns.of(Positions.concatenate([own for own, _ in chunks]))
    found = chunks.columns()
    for field in dataclasses.fields(SummaryColumns):
        column = getattr(found, field.name)
        np.testing.assert_array_equal(column, getattr(whole, field.name))
        assert column.dtype == getattr(whole, field.name).dtype


@pytest.mark.parametrize("rows", [3, 5])
def test_columns_of_another_number_of_positions_are_an_error(rows: int) -> None:
    with pytest.raises(ValueError):
        SummaryColumns.joined([positions(0, rows=4)], rows)


def test_a_file_with_more_columns_is_read_by_setting_too(tmp_path: Path) -> None:
    extra = pa.field("note", pa.utf8())
    schema = POSITIONS_SCHEMA.insert(4, extra)
    path = tmp_path / "positions.arrow"
    data = schema.serialize().to_pybytes()
    for chunk in range(2):
        rows = table(positions(chunk)).add_column(4, extra, pa.array(["a", "bc", ""]))
        data += signed("8", chunk, "{}", rows.cast(schema))
    path.write_bytes(data)
    found = [own for own, _ in stored_chunks(path)["8"]]
    assert len(found) == 2 and all(same(own, positions(i)) for i, own in enumerate(found))


def test_what_changed_in_between_is_not_read(path: Path) -> None:
    stored = stored_chunks(path)
    whole = path.read_bytes()
    (place,) = [cell.place for cell in stored["8"].only({3})._cells]
    inside = [place.start + 9, place.start + place.checksum_at, place.start + place.size - 1]
    for at in inside:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        others = stored["8"].without({3})
        assert len(list(others)) == 2
        with pytest.raises(QfidError, match="was changed while it was read"):
            list(stored["8"])
    for data in (whole[: place.start + 1], b""):
        path.write_bytes(data)
        with pytest.raises(QfidError, match="was changed while it was read"):
            list(stored["8"])
    # A cell of the same place and size with a right checksum of its own is another cell.
    with PositionsWriter(tmp := path.with_name("second")) as writer:
        for chunk in ORDER:
            for name in ("8", "4"):
                writer.append(CellKey(name, chunk), positions(chunk, seed=7), FACTS)
    path.write_bytes(tmp.read_bytes())
    with pytest.raises(QfidError, match="was changed while it was read"):
        list(stored["8"])
    path.unlink()
    with pytest.raises(QfidError):
        list(stored["8"])


def test_what_is_appended_meanwhile_does_no_harm(path: Path) -> None:
    chunks = stored_chunks(path)["8"]
    with PositionsWriter(path) as writer:
        writer.append(CellKey("8", 9), positions(9), FACTS)
    assert [int(own.chunk[0]) for own, _ in chunks] == [0, 3, 5]


def test_a_damaged_batch_hides_what_follows_it(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    place = stored_chunks(path)["4"].only({0})._cells[0].place
    whole[place.start + place.size - 1] ^= 1
    path.write_bytes(whole)
    found = stored_chunks(path)
    assert (found["8"].chunks, found["4"].chunks) == ([0, 5], [5])
    assert isinstance(found["4"], StoredChunks)
