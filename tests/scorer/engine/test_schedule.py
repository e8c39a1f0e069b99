"""What a schedule hands out: every missing cell once, inside the grid's borders, until it stops."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.common.errors import SettingFailed, WillNotFit
from scorer.engine.schedule import SHORTAGES, Cells, Schedule
from scorer.fit.pass_size import PassSize
from scorer.runs.grid import CellKey, Chunk, Grid, Passage

SETTINGS = ("8", "4", "3")


def grid(count: int, batch: int) -> Grid:
    chunks = tuple(Chunk(index, range(15)) for index in range(count))
    return Grid((Passage("a" * 64, "mqf", 16, batch, chunks),), SETTINGS)


def rest(schedule: Schedule) -> list[Cells]:
    """Everything that is still handed out, nothing of it scored."""
    return list(iter(schedule.next, None))


def keys(cells: Cells) -> list[CellKey]:
    return [key for setting in cells.settings for key in cells.batch.keys(setting)]


def finish(schedule: Schedule, cells: Cells) -> list[CellKey]:
    """Score cells; those that are scored now and were not before."""
    return [key for key in keys(cells) if schedule.mark_scored(key)]


CASES = st.tuples(
    st.integers(0, 13), st.integers(1, 5), st.integers(1, 6), st.sets(st.integers(0, 38))
)


def case(values: tuple[int, int, int, set[int]]) -> tuple[Grid, set[CellKey], int]:
    count, batch, size, done = values
    made = grid(count, batch)
    cells = list(made.cells())
    return made, {cells[number] for number in done if number < len(cells)}, size


@given(CASES)
def test_every_missing_cell_is_handed_out_once(values: tuple[int, int, int, set[int]]) -> None:
    made, done, size = case(values)
    schedule = Schedule(made, done, PassSize(size))
    scored = [key for cells in rest(schedule) for key in finish(schedule, cells)]
    assert set(scored) == set(made.missing(done)) and len(scored) == len(set(scored))
    assert made.missing(schedule.done) == [] and schedule.next() is None


@given(CASES)
def test_cells_lie_inside_one_batch_and_hold_something_missing(
    values: tuple[int, int, int, set[int]],
) -> None:
    made, done, size = case(values)
    parts = [part for batch in made.batches() for part in batch.parts(size)]
    handed = rest(Schedule(made, done, PassSize(size)))
    # In order, and cut as the grid and the size say, whatever is done.
    assert [cells.batch for cells in handed] == [
        part for part in parts if any(set(part.keys(name)) - done for name in SETTINGS)
    ]
    for cells in handed:
        missing = [name for name in SETTINGS if set(cells.batch.keys(name)) - done]
        assert cells.settings == tuple(missing)


def test_a_setting_that_is_given_up_gets_nothing_more() -> None:
    schedule = Schedule(grid(3, 1), (), PassSize(1))
    assert schedule.next() == Cells(next(iter(schedule.grid.batches())), SETTINGS)
    schedule.give_up("4", SettingFailed("NaN", "try 8"))
    assert [cells.settings for cells in rest(schedule)] == [("8", "3")] * 2
    assert schedule.failed["4"].message == "NaN" and schedule.failed["4"].hint == "try 8"


def test_it_stops_once_every_setting_is_given_up() -> None:
    schedule = Schedule(grid(3, 1), (), PassSize(1))
    for name in SETTINGS:
        schedule.give_up(name, SettingFailed("NaN"))
    assert schedule.next() is None


def test_less_memory_cuts_inside_the_batches_and_begins_again() -> None:
    schedule = Schedule(grid(10, 4), (), PassSize(4))
    first, second = schedule.next(), schedule.next()
    assert first is not None and second is not None
    finish(schedule, first)
    schedule.shrink("out of memory")
    assert schedule.size == PassSize(2)
    handed = [[chunk.index for chunk in cells.batch.chunks] for cells in rest(schedule)]
    # The second batch was handed out and never scored.
    assert handed == [[4, 5], [6, 7], [8, 9]]


def test_less_memory_is_one_batch_at_a_time_at_first() -> None:
    schedule = Schedule(grid(4, 4), (), PassSize(4, workers=3))
    schedule.shrink("no message", 3)
    assert schedule.size == PassSize(4)
    for size in (PassSize(2), PassSize(1)):
        schedule.shrink("no message")
        assert schedule.size == size
    with pytest.raises(WillNotFit, match="ran out 4 times"):
        schedule.shrink("no message")


def test_less_memory_where_one_batch_was_scored_alone_is_a_smaller_pass() -> None:
    schedule = Schedule(grid(4, 4), (), PassSize(4, workers=3))
    schedule.shrink("no message", 1)
    assert schedule.size == PassSize(2)


def test_batches_that_lack_a_cell_are_counted() -> None:
    schedule = Schedule(grid(10, 4), (), PassSize(4))
    assert (schedule.lacking(2), schedule.lacking(9)) == (2, 3)
    first = schedule.next()
    assert first is not None
    finish(schedule, first)
    assert schedule.lacking(9) == 2


def test_memory_that_runs_out_too_often_ends_the_run() -> None:
    schedule = Schedule(grid(4, 4), (), PassSize(4))
    for _ in range(SHORTAGES):
        schedule.shrink("no message")
    with pytest.raises(WillNotFit, match=r"ran out 3 times; the last time: 5 of 4 GB") as caught:
        schedule.shrink("5 of 4 GB")
    assert "resume" in caught.value.hint


def test_memory_that_runs_out_at_the_smallest_size_ends_the_run() -> None:
    *_, smallest = PassSize(1).sizes()
    with pytest.raises(WillNotFit, match="ran out 1 times"):
        Schedule(grid(1, 1), (), smallest).shrink("")


def test_it_decides_without_mlx() -> None:
    code = "import sys, scorer.engine.schedule; print('mlx' in sys.modules, 'numpy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False False\n"
