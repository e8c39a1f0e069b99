"""A run and its memory: fitted before loading, made smaller when it runs out, ended in time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from deadline import DEADLINE
from scorer_child import STUCK, Child
from tiny_runs import LENGTH, Small, cells, failed, finished, numbers, planned

from scorer.common.errors import WillNotFit
from scorer.device import memory_watch
from scorer.device.host_memory import HostMemory
from scorer.engine import cells as cells_module
from scorer.engine import preparation as prepare
from scorer.fit.pass_size import PassSize
from scorer.lanes.base import PendingPass, ReferenceLane
from scorer.lm import load
from scorer.runs.listing import find_run, list_runs
from scorer.score import score
from scorer.spec.events import Event, Failed, Loading, Warned

GIB = 1 << 30
OUT = "[malloc] Unable to allocate 8589934592 bytes."


def warnings(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Warned)]


def give(monkeypatch: pytest.MonkeyPatch, available: int) -> None:
    """Let the device have so many bytes, beside what a machine needs to breathe."""
    monkeypatch.setattr(
        prepare, "device_memory", lambda _: HostMemory(16 * GIB, available + 16 * GIB // 20)
    )


def test_what_cannot_fit_is_refused_before_it_is_loaded(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, 1 << 20)
    monkeypatch.setattr(prepare, "load", None)
    events = small.score("8")
    failure = failed(events)
    assert (failure.error, failure.exit_code) == ("WillNotFit", 3)
    assert failure.message.startswith("`tiny-llama` needs 1")
    assert "with chunks of 32 tokens and 1 MiB can be used: 2 MiB weights" in failure.message
    assert "--force" in failure.hint
    assert [event.step for event in events if isinstance(event, Loading)] == ["tokenizing"]
    assert list_runs() == []


def test_forced_it_is_scored_all_the_same(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = finished(small.score("8")).report
    give(monkeypatch, 1 << 20)
    report = finished(small.score("8", force=True)).report
    assert report["settings"][0]["kl"] == plain["settings"][0]["kl"]


def test_a_batch_that_does_not_fit_is_made_smaller_first(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fitting(*_: Any, wanted: PassSize, **__: Any) -> PassSize:
        assert wanted == PassSize(8)
        return PassSize(2)

    monkeypatch.setattr(prepare, "fitting", fitting)
    events = small.score("8", batch=8, max_chunks=3)
    assert planned(events).batch == 2
    assert warnings(events) == [
        "memory does not allow 8 chunks at a time; scored with 2 chunks at a time"
    ]
    assert finished(events).report["run"]["batch"] == 2


def test_a_run_goes_on_with_its_own_grid_in_less_memory(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = small.job("8", batch=2, max_chunks=4)
    whole = finished(list(score(job))).report
    begun = list(score(job, stop=lambda: False))
    run = planned(begun).run
    path = find_run(run).positions_path
    # As a run that was ended within its second cell.
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    (find_run(run).path / "report.json").unlink()
    monkeypatch.setattr(prepare, "fitting", lambda *_, **__: PassSize(1))
    events = list(score(job, run=run))
    assert planned(events).batch == 2
    report = finished(events).report
    assert report["settings"][0]["kl"] == whole["settings"][0]["kl"]
    assert any("scored 1 at a time, not 2" in text for text in report["run"]["warnings"])


@pytest.fixture
def short_of_memory(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Let every forward pass of more than so many chunks run out of memory."""

    def limit(most: int, error: BaseException | None = None, after: int = 0) -> list[int]:
        plain, tried = ReferenceLane.begin, list[int]()

        def begin(self: ReferenceLane, tokens: mx.array) -> PendingPass:
            if tokens.shape[1] == LENGTH - 1:
                tried.append(tokens.shape[0])
                if tokens.shape[0] > most and len(tried) > after:
                    raise error or RuntimeError(OUT)
            return plain(self, tokens)

        monkeypatch.setattr(ReferenceLane, "begin", begin)
        return tried

    return limit


@pytest.mark.parametrize("error", [RuntimeError(OUT), MemoryError("bad allocation")])
def test_out_of_memory_halves_the_batch_and_goes_on(
    small: Small, short_of_memory: Callable[..., list[int]], error: BaseException
) -> None:
    plain = finished(small.score("8,4", batch=4, max_chunks=6)).report
    tried = short_of_memory(1, error)
    events = small.score("8,4", batch=4, max_chunks=6)
    # Preparing looks at one chunk; then 4, 2 and 1 at a time, the grid's second cell as well.
    assert tried[-8:] == [4, 2, *[1] * 6]
    assert warnings(events) == [
        "memory ran out; going on with 2 chunks at a time",
        "memory ran out; going on with 1 chunk at a time",
    ]
    assert len(cells(events)) == len(set(cells(events))) == 12
    assert planned(events).batch == 4
    report = finished(events).report
    told = (
        "memory ran short: 6 of 6 chunks were scored 1 at a time, not 4; the figures are the same"
    )
    assert told in report["run"]["warnings"]
    assert [row["kl"] for row in report["settings"]] == [row["kl"] for row in plain["settings"]]
    # Made again from what is saved, the report still says so.
    saved = find_run(planned(events).run).report()
    assert saved is not None and told in saved["run"]["warnings"]


def test_chunks_saved_before_memory_ran_out_are_not_scored_again(
    small: Small, short_of_memory: Callable[..., list[int]]
) -> None:
    short_of_memory(2, after=1)
    events = small.score("8", batch=4, max_chunks=8)
    assert cells(events) == [("8", chunk) for chunk in range(8)]
    (told,) = [
        text for text in finished(events).report["run"]["warnings"] if "memory ran short" in text
    ]
    assert "4 of 8 chunks were scored 2 at a time, not 4" in told


def test_the_third_time_ends_the_run_with_everything_saved(
    small: Small, short_of_memory: Callable[..., list[int]]
) -> None:
    short_of_memory(0, after=1)
    events = small.score("8,4", batch=4, max_chunks=8)
    failure = failed(events)
    assert (failure.error, failure.exit_code, failure.saved) == ("WillNotFit", 3, 8)
    assert failure.message == f"memory ran out 3 times; the last time: {OUT}"
    run = find_run(planned(events).run)
    assert failure.run == run.id and run.info().state == "unfinished"
    report = run.report()
    assert report is not None and report["run"]["chunks"] == [0, 1, 2, 3]
    assert report["run"]["complete"] is False


def test_without_batches_to_halve_the_tiles_are_made_smaller(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, tiles = cells_module.Loop, list[int]()

    def made(*args: Any, tile_bytes: int, **more: Any) -> Any:
        tiles.append(tile_bytes >> 20)
        if tile_bytes >= 64 << 20:
            raise RuntimeError(OUT)
        return plain(*args, tile_bytes=tile_bytes, **more)

    monkeypatch.setattr(cells_module, "Loop", made)
    events = small.score("8", max_chunks=1)
    assert tiles == [256, 64, 16]
    assert any("scored in smaller tiles" in w for w in finished(events).report["run"]["warnings"])


def test_an_error_that_is_not_of_memory_stays_what_it_is(
    small: Small, short_of_memory: Callable[..., list[int]]
) -> None:
    short_of_memory(0, RuntimeError("[matmul] shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        small.score("8")


def test_no_memory_for_the_model_itself_is_one_failure(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    def densify(*_: Any) -> bool:
        raise RuntimeError(OUT)

    monkeypatch.setattr(load, "densify", densify)
    failure = failed(small.score("8"))
    assert (failure.error, failure.exit_code, failure.run) == ("WillNotFit", 3, None)
    assert failure.message == f"out of memory: {OUT}"


def test_low_memory_ends_the_run_at_the_next_tile_with_a_report(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_watch, "INTERVAL", 0.001)
    short, seen = threading.Event(), threading.Event()

    def read() -> HostMemory:
        if short.is_set():
            seen.set()
        return HostMemory(16 * GIB, GIB // 2 if short.is_set() else 8 * GIB)

    events: list[Event] = []
    for event in score(small.job("8,4", max_chunks=12), read_memory=read):
        events.append(event)
        if len(cells(events)) == 2 and not short.is_set():
            short.set()
            assert seen.wait(DEADLINE)
    failure = failed(events)
    assert (failure.error, failure.exit_code) == ("WillNotFit", 3)
    assert failure.message.startswith("memory ran short: 0.5 of 16.0 GiB are available")
    run = find_run(planned(events).run)
    assert failure.run == run.id
    assert failure.saved == len(cells(events)) == sum(map(len, run.scored().values())) < 24
    report = run.report()
    assert report is not None and report["run"]["complete"] is False
    again = list(score(small.job("8,4", max_chunks=12), run=run.id))
    assert finished(again).complete


def test_low_memory_before_the_first_chunk_has_nothing_to_report(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = WillNotFit("memory ran short: made by the test")
    monkeypatch.setattr(memory_watch.MemoryWatch, "short", short, raising=False)
    monkeypatch.setattr(memory_watch.MemoryWatch, "__init__", lambda *_, **__: None)
    monkeypatch.setattr(memory_watch.MemoryWatch, "__enter__", lambda self: self)
    monkeypatch.setattr(memory_watch.MemoryWatch, "__exit__", lambda *_: None)
    events = small.score("8")
    assert failed(events) == Failed("WillNotFit", short.message, "", 3)
    assert list_runs() == []


STARVED = (
    STUCK
    + """
import scorer.device.memory_watch, scorer.score
from scorer.device.host_memory import HostMemory
told = scorer.engine.cells.CellScorer._save

def save(self, scored, sums):
    told(self, scored, sums)
    available[0] = 1 << 20

available = [8 << 30]
scorer.engine.cells.CellScorer._save = save
scorer.score.score.__kwdefaults__["read_memory"] = lambda: HostMemory(16 << 30, available[0])
"""
)


def test_memory_that_is_all_but_gone_ends_a_child_inside_a_pass(
    small: Small, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(STARVED)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    with Child(PYTHONPATH=path) as child:
        events = child.send(small.job("8")).rest()
        assert child.code() == 3
        assert child.errors() == ""
    failure = failed(events)
    run = find_run(planned(events).run)
    assert (failure.error, failure.exit_code, failure.saved) == ("WillNotFit", 3, 1)
    assert failure.run == run.id and failure.message.startswith("memory ran short: 0.0 of 16.0")
    assert run.scored() == {"8": {0}}
    again = finished(list(score(small.job("8"), run=run.id))).report
    assert numbers(again) == numbers(finished(small.score("8")).report)
