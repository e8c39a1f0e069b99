"""Saving aside keeps order, tells what it did only then, and loses nothing at the end."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from deadline import DEADLINE
from tiny_runs import Small, cells, failed, finished, planned, stopped, stored_cells

import scorer.engine.cells
from scorer.common.errors import QfidError, RankLost
from scorer.device.pipeline import choose_pipeline
from scorer.engine.batch_scorers import Scoring
from scorer.engine.cells import CellScorer
from scorer.engine.loop import Loop
from scorer.engine.outcomes import Outcome, Scored
from scorer.engine.saving import Saver
from scorer.runs.listing import find_run
from scorer.runs.positions_file import PositionsWriter
from scorer.score import score
from scorer.spec.events import Event, Loading


def piece(log: list[int], number: int, gate: threading.Event | None = None) -> Any:
    def work() -> list[Any]:
        if gate is not None:
            assert gate.wait(DEADLINE)
        log.append(number)
        return [Loading("step", str(number))]

    return work


@pytest.mark.parametrize("background", [False, True])
def test_events_come_in_order_once_the_work_is_done(background: bool) -> None:
    log: list[int] = []
    with Saver(background=background) as saver:
        for number in range(5):
            saver.submit(piece(log, number))
        found = list(saver.events(wait=True))
    assert log == [0, 1, 2, 3, 4]
    assert [event.detail for event in found] == ["0", "1", "2", "3", "4"]  # type: ignore[union-attr]


def test_without_a_thread_work_is_done_at_once() -> None:
    log: list[int] = []
    with Saver(background=False) as saver:
        saver.submit(piece(log, 1))
        assert log == [1]
        assert len(list(saver.events())) == 1


def test_nothing_is_told_before_it_is_saved_and_nobody_waits() -> None:
    log: list[int] = []
    gate = threading.Event()
    with Saver(background=True) as saver:
        saver.submit(piece(log, 1, gate))
        saver.submit(piece(log, 2))
        assert list(saver.events()) == [] and log == []
        gate.set()
        assert len(list(saver.events(wait=True))) == 2


def test_an_error_elsewhere_still_ends_with_everything_saved() -> None:
    log: list[int] = []
    gate = threading.Event()
    with pytest.raises(KeyError), Saver(background=True) as saver:
        saver.submit(piece(log, 1, gate))
        saver.submit(piece(log, 2))
        gate.set()
        raise KeyError
    assert log == [1, 2]


@pytest.mark.parametrize("background", [False, True])
def test_a_failed_task_is_raised_where_its_events_are_asked_for(background: bool) -> None:
    log: list[int] = []

    def full() -> list[Any]:
        raise QfidError("the disk is full")

    with Saver(background=background) as saver:
        saver.submit(piece(log, 1))
        saver.submit(full)
        saver.submit(piece(log, 3))
        found = saver.events(wait=True)
        assert next(found).detail == "1"  # type: ignore[union-attr]
        with pytest.raises(QfidError, match="disk is full"):
            next(found)
    assert log == [1]


@pytest.mark.parametrize("background", [False, True])
def test_memory_that_ends_while_saving_is_no_reason_to_score_again(background: bool) -> None:
    def large() -> list[Any]:
        raise MemoryError

    with Saver(background=background) as saver:
        saver.submit(large)
        with pytest.raises(QfidError, match="memory ran out while chunks were saved"):
            list(saver.events(wait=True))


class Prompt(Saver):
    """Saves on its thread, but tells of it before anything else is scored."""

    def events(self, *, wait: bool = False) -> Iterator[Event]:
        return super().events(wait=True)


@pytest.fixture
def aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs save on a thread of their own, as on a GPU."""
    monkeypatch.setattr(scorer.engine.cells, "Saver", lambda background: Saver(background=True))


@pytest.mark.usefixtures("aside")
def test_a_run_that_saves_aside_tells_the_same(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    got = small.score(max_chunks=3)
    monkeypatch.setattr(scorer.engine.cells, "Saver", Saver)
    expected = small.score(max_chunks=3)
    assert cells(got) == cells(expected)
    for mine, theirs in zip(
        *(find_run(planned(events).run).read().items() for events in (got, expected)), strict=True
    ):
        assert mine[0] == theirs[0]
        for (own, _), (other, _) in zip(mine[1], theirs[1], strict=True):
            np.testing.assert_allclose(own.kl, other.kl, atol=1e-6)
            np.testing.assert_array_equal(own.position, other.position)


def test_whatever_is_told_of_a_stopped_run_is_saved_and_the_other_way_round(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer.engine.cells, "Saver", lambda background: Prompt(background=True))
    events = stopped(small.job(max_chunks=4), 2)
    assert not finished(events).complete
    run = find_run(planned(events).run)
    assert sorted(stored_cells(run)) == sorted(cells(events))


@pytest.mark.usefixtures("aside")
def test_a_full_disk_ends_the_run_and_keeps_what_was_saved(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = PositionsWriter.append_all
    calls: list[int] = []

    def append_all(self: PositionsWriter, *arguments: Any) -> list[bool]:
        calls.append(1)
        if len(calls) == 3:
            raise QfidError("chunk 1 could not be saved", "free some space")
        return own(self, *arguments)

    monkeypatch.setattr(PositionsWriter, "append_all", append_all)
    events = small.score(max_chunks=4)
    assert "could not be saved" in failed(events).message
    assert len(calls) == 3 and len(cells(events)) == 2
    run = find_run(planned(events).run)
    assert sum(map(len, run.scored().values())) == 2


@pytest.mark.usefixtures("aside")
@pytest.mark.parametrize("error", [RankLost("rank 1 is gone"), QfidError("the model was changed")])
def test_an_error_that_ends_a_run_leaves_nothing_saved_that_was_not_told(
    small: Small, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Also what is still being saved when it is raised."""
    gate = threading.Event()
    append_all, scored = PositionsWriter.append_all, Loop.score

    def late(self: PositionsWriter, *arguments: Any) -> list[bool]:
        assert gate.wait(DEADLINE)
        return append_all(self, *arguments)

    def score_two(self: Loop, tasks: Any) -> Iterator[Outcome]:
        left = 2
        for outcome in scored(self, tasks):
            yield outcome
            left -= isinstance(outcome, Scored)
            if not left:
                gate.set()
                raise error

    monkeypatch.setattr(PositionsWriter, "append_all", late)
    monkeypatch.setattr(Loop, "score", score_two)
    events = small.score(max_chunks=4)
    assert str(error) in failed(events).message
    run = find_run(planned(events).run)
    stored = stored_cells(run)
    assert len(stored) == 2 and sorted(stored) == sorted(cells(events))


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps begun ahead, saved aside, reduced by MLX's operations: all but the device."""
    plain = CellScorer.__init__

    def init(self: CellScorer, prepared: Any, device: str, *rest: Any) -> None:
        plain(self, prepared, "metal", *rest)
        assert choose_pipeline(self._device, 2).tiles > 0

    monkeypatch.setattr(CellScorer, "__init__", init)
    monkeypatch.setattr(
        scorer.engine.cells, "Saver", lambda background: Prompt(background=background)
    )


def drift(run: str) -> dict[tuple[str, int], Any]:
    return {
        (name, int(positions.chunk[0])): positions.kl
        for name, batches in find_run(run).read().items()
        for positions, _ in batches
    }


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("tile_bytes", [1 << 30, 1 << 14])
def test_a_run_as_on_a_gpu_comes_to_the_same(
    small: Small, monkeypatch: pytest.MonkeyPatch, tile_bytes: int
) -> None:
    """Logits kept for a batch or taken tile by tile, stopped half way and gone on with."""
    monkeypatch.setattr(
        Scoring, "_loop", functools.partialmethod(_loop_of, tile_bytes=tile_bytes), raising=True
    )
    job = small.job("8,4@9,k8v4", batch=2, max_chunks=5)
    run = planned(stopped(job, 4)).run
    done = sum(map(len, find_run(run).scored().values()))
    assert 4 <= done < 15
    rest = list(score(job, run=run))
    assert finished(rest).complete and len(cells(rest)) == 15 - done
    monkeypatch.undo()
    expected = drift(planned(small.score("8,4@9,k8v4", batch=2, max_chunks=5)).run)
    got = drift(run)
    assert got.keys() == expected.keys() and len(got) == 15
    for key, kl in got.items():
        np.testing.assert_allclose(kl, expected[key], rtol=1e-3, atol=2e-6)


def _loop_of(self: Scoring, reference: Any, *, stop: Any, tile_bytes: int) -> Loop:
    return Loop(
        reference,
        self.metrics,
        self.prepared.vocab,
        stop,
        tile_bytes=tile_bytes,
        keep_bytes=4 * tile_bytes,
        ahead=choose_pipeline(self.device, self.size.batch).tiles,
    )
