"""The grid of a run: every cell once, batches whose borders nothing but the grid decides."""

from __future__ import annotations

import subprocess
import sys
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.runs.grid import CellKey, Chunk, Grid, Passage

SCORED = range(0, 15)


def passage(chunks: list[int], batch: int, key: str | None = None) -> Passage:
    made = tuple(Chunk(index, SCORED) for index in chunks)
    return Passage("a" * 64, "mqf", 16, batch, made, key)


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    names = draw(st.lists(st.sampled_from("8642"), min_size=1, unique=True))
    indices = st.lists(st.integers(0, 99), max_size=30, unique=True)
    keys = draw(st.sampled_from([[None], ["a"], ["a", "b"], [None, "b", "c"]]))
    passages = [passage(draw(indices), draw(st.integers(1, 9)), key) for key in keys]
    return Grid(tuple(passages), tuple(names))


@given(grids())
def test_every_cell_is_in_it_once(grid: Grid) -> None:
    cells = list(grid.cells())
    assert len(set(cells)) == len(cells)
    assert set(cells) == {
        CellKey(setting, chunk.index, passage.key)
        for passage in grid.passages
        for chunk in passage.chunks
        for setting in grid.settings
    }


@given(grids())
def test_batches_are_full_but_the_last_of_a_passage_and_keep_the_order(grid: Grid) -> None:
    for passage in grid.passages:
        batches = [batch for batch in grid.batches() if batch.passage is passage]
        assert tuple(chain.from_iterable(batch.chunks for batch in batches)) == passage.chunks
        assert all(len(batch.chunks) == passage.batch for batch in batches[:-1])
        assert all(0 < len(batch.chunks) <= passage.batch for batch in batches[-1:])


@given(grids(), st.data())
def test_what_is_done_is_not_missing_and_the_rest_is_in_order(
    grid: Grid, data: st.DataObject
) -> None:
    cells = list(grid.cells())
    done = set(data.draw(st.lists(st.sampled_from(cells)))) if cells else set()
    missing = grid.missing(done)
    assert missing == [cell for cell in cells if cell not in done]
    # Cells of other grids change nothing.
    assert (
        grid.missing(done | {CellKey("3", 0), CellKey("8", 500), CellKey("8", 0, "z")}) == missing
    )


@given(grids(), st.integers(1, 12))
def test_parts_never_cross_the_border_of_a_batch(grid: Grid, size: int) -> None:
    for batch in grid.batches():
        parts = list(batch.parts(size))
        assert tuple(chain.from_iterable(part.chunks for part in parts)) == batch.chunks
        assert all(len(part.chunks) == size for part in parts[:-1])
        assert all(part.passage is batch.passage for part in parts)


@given(grids(), st.lists(st.sampled_from("8642"), unique=True, min_size=1))
def test_borders_do_not_depend_on_the_settings(grid: Grid, settings: list[str]) -> None:
    assert list(Grid(grid.passages, tuple(settings)).batches()) == list(grid.batches())


@pytest.mark.parametrize(
    ("passages", "settings", "message"),
    [
        ([passage([0, 1, 0], 2)], ("8",), "chunk twice"),
        ([passage([0], 2), passage([1], 2)], ("8",), "passage twice"),
        ([passage([0], 2, "a"), passage([1], 2, "a")], ("8",), "passage twice"),
        ([passage([0], 2)], ("8", "4", "8"), "setting twice"),
        ([passage([0], 0)], ("8",), "at least one chunk"),
    ],
)
def test_a_grid_that_names_a_cell_twice_is_refused(
    passages: list[Passage], settings: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Grid(tuple(passages), settings)


def test_chunks_of_one_index_in_two_passages_are_two_cells() -> None:
    grid = Grid((passage([0], 1, "a"), passage([0], 1, "b")), ("8",))
    assert list(grid.cells()) == [CellKey("8", 0, "a"), CellKey("8", 0, "b")]


def test_it_is_a_value_that_loads_nothing() -> None:
    heavy = "mlx numpy pyarrow textual"
    code = f"import sys, scorer.runs.grid; print([m for m in {heavy.split()} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
    grid = Grid((passage([0, 1], 2),), ("8",))
    assert grid == Grid((passage([0, 1], 2),), ("8",)) and len({grid, grid}) == 1
