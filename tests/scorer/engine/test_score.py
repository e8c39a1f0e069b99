"""A job in, events out: their order, what is saved, what a setting's failure does to the others."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from tiny_runs import (
    LENGTH,
    Small,
    cells,
    edit_weights,
    failed,
    finished,
    numbers,
    planned,
    stopped,
)

from scorer.common.folders import runs_folder
from scorer.lanes.base import ReferenceLane
from scorer.lanes.kv.lane import KVLane
from scorer.runs.listing import Run, find_run, list_runs
from scorer.score import score
from scorer.spec.events import (
    ChunkScored,
    Event,
    Failed,
    Finished,
    Hello,
    Loading,
    Planned,
    Progress,
    SettingFailedEvent,
    Warned,
    parse_line,
)
from scorer.stats.quantiles import quantile
from scorer.text.chunk_order import select_chunks


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events]


def test_events_come_in_one_order(small: Small) -> None:
    events = small.score("8,4")
    batch = ["progress", "progress", "chunk", "progress", "chunk"]
    assert kinds(events) == ["hello", "loading", "loading", "loading", "planned"] + 2 * batch + [
        "finished"
    ]
    steps = [event.step for event in events if isinstance(event, Loading)]
    assert steps == ["tokenizing", "model", "checking"]
    assert cells(events) == [("8", 0), ("4", 0), ("8", 1), ("4", 1)]
    progress = [event for event in events if isinstance(event, Progress)]
    assert [(p.chunk, p.setting, p.done, p.total) for p in progress] == [
        (chunk, setting, done, 3)
        for chunk in (0, 1)
        for done, setting in enumerate(("", "8", "4"), start=1)
    ]
    assert all(p.memory > 0 for p in progress)
    assert finished(events).complete


def test_every_event_of_a_run_survives_the_wire(small: Small) -> None:
    for event in small.score("4", max_chunks=1):
        assert parse_line(event.to_line()) == event


def test_chunks_of_a_batch_share_their_forward_passes(small: Small) -> None:
    events = small.score("8,4", batch=2, max_chunks=3)
    batch = ["progress", "progress", "chunk", "chunk", "progress", "chunk", "chunk"]
    last = ["progress", "progress", "chunk", "progress", "chunk"]
    assert kinds(events)[5:-1] == batch + last
    assert planned(events).batch == 2


def test_the_plan_names_what_will_be_scored(small: Small) -> None:
    events = small.score("8,k8v4@10,k16v4", chunks="spread")
    plan = planned(events)
    assert plan.settings == ["8", "k8v4@10", "k16v4"]
    assert plan.model == "tiny-llama"
    total = small.text.stat().st_size // LENGTH
    assert plan.chunks == list(select_chunks(total, "spread", 2))
    assert plan.done == {"8": 0, "k8v4@10": 0, "k16v4": 0}
    assert plan.positions_per_chunk == {"8": 31, "k8v4@10": 21, "k16v4": 31}
    # Two layers, two heads of 64: codes, and a 16-bit scale and bias per group of 64.
    per_bit = 2 * 2 * 64 / 8
    overhead = 2 * 2 * 4
    assert plan.kv_bytes_per_token == {
        "8": 2 * (8 * per_bit + overhead),
        "k8v4@10": 12 * per_bit + 2 * overhead,
        "k16v4": 20 * per_bit + overhead,
    }
    assert plan.kv_bytes_per_token_16bit == 32 * per_bit
    assert "float32" in plan.arithmetic
    run = find_run(plan.run)
    assert plan.run_path == str(run.path) and run.path.parent == runs_folder()


def test_a_chunk_is_saved_before_it_is_told(small: Small) -> None:
    run: Run | None = None
    told = 0
    for event in score(small.job("8,4")):
        if isinstance(event, Planned):
            run = find_run(event.run)
            assert run.scored() == {}
        elif isinstance(event, ChunkScored):
            assert run is not None
            told += 1
            assert event.chunk in run.scored()[event.setting]
            assert sum(map(len, run.scored().values())) == told
    assert told == 4


def test_a_chunks_event_summarises_its_stored_positions(small: Small) -> None:
    events = small.score("4,4@12")
    stored = find_run(planned(events).run).read()
    for event in events:
        if isinstance(event, ChunkScored):
            ((positions, facts),) = [
                (p, f) for p, f in stored[event.setting] if p.chunk[0] == event.chunk
            ]
            assert event.positions == len(positions) == (19 if "@" in event.setting else 31)
            assert event.kl_mean == positions.kl.mean() and event.kl_max == positions.kl.max()
            assert event.kl_p99 == quantile(positions.kl, 0.99)
            assert event.flips == positions.flips.sum()
            assert event.nll_ref == positions.nll_ref.sum()
            assert event.nll_quant == positions.nll_quant.sum()
            assert event.seconds == facts.seconds > 0


def test_positions_are_those_of_the_text(small: Small) -> None:
    events = small.score("4,4@12")
    tokens = np.frombuffer(small.text.read_bytes(), np.uint8)
    for setting, first in (("4", 0), ("4@12", 12)):
        for positions, _ in find_run(planned(events).run).read()[setting]:
            assert positions.position.tolist() == list(range(first, LENGTH - 1))
            chunk = positions.chunk[0] * LENGTH
            assert positions.token.tolist() == tokens[chunk + first + 1 : chunk + LENGTH].tolist()


def test_the_report_pools_what_was_told(small: Small) -> None:
    events = small.score("8,4", max_chunks=3)
    for row in finished(events).report["settings"]:
        told = [e for e in events if isinstance(e, ChunkScored) and e.setting == row["setting"]]
        n = sum(event.positions for event in told)
        assert row["n_positions"] == n == 3 * (LENGTH - 1) and row["n_chunks"] == 3
        assert row["kl"]["mean"] == pytest.approx(sum(e.kl_mean * e.positions for e in told) / n)
        assert row["kl"]["max"] == max(event.kl_max for event in told)
        assert row["flip_rate"] == sum(event.flips for event in told) / n
        assert row["perplexity_ref"] == pytest.approx(np.exp(sum(e.nll_ref for e in told) / n))


def test_the_saved_run_holds_the_report(small: Small) -> None:
    events = small.score("8")
    run = find_run(planned(events).run)
    report = finished(events).report
    assert run.finished and run.report() == report
    assert (run.path / "report.md").read_text().startswith("# KV-fidelity: `tiny-llama` @ 8")
    assert run.job == small.job("8")


def test_coarser_caches_drift_further(small: Small) -> None:
    rows = finished(small.score("8,6,5,4,3,2")).report["settings"]
    means = [row["kl"]["mean"] for row in rows]
    assert means == sorted(means) and means[0] > 0
    assert len({row["perplexity_ref"] for row in rows}) == 1


def test_batches_change_nothing_but_rounding(small: Small) -> None:
    one, three = (
        finished(small.score("8,4@9", batch=batch, max_chunks=5)).report["settings"]
        for batch in (1, 3)
    )
    for a, b in zip(one, three, strict=True):
        assert a["kl_mean_per_chunk"] == pytest.approx(b["kl_mean_per_chunk"], rel=0.02)
        assert a["perplexity_ref"] == pytest.approx(b["perplexity_ref"], rel=1e-6)


def test_settings_of_one_arithmetic_are_scored_once_and_told_twice(small: Small) -> None:
    events = small.score("4,4~dequantized", max_chunks=1)
    assert [e.total for e in events if isinstance(e, Progress)] == [2, 2]
    assert cells(events) == [("4", 0), ("4~dequantized", 0)]
    run = find_run(planned(events).run)
    assert set(run.scored()) == {"4"}
    first, second = finished(events).report["settings"]
    assert (first["same_as"], second["same_as"]) == (None, "4")
    assert first["kl"] == second["kl"]
    assert (run.info().chunks_done, run.info().chunks_planned) == (2, 2)


@pytest.mark.parametrize("settings", ["4", "4~dequantized,4"])
def test_a_control_is_no_row_of_its_own(small: Small, settings: str) -> None:
    events = small.score(settings, max_chunks=1, control=True)
    names = settings.split(",")
    assert planned(events).settings == names
    assert [e.total for e in events if isinstance(e, Progress)] == [2, 2]
    rows = finished(events).report["settings"]
    assert [row["setting"] for row in rows] == names
    assert rows[-1]["control_kl"] is None and "same arithmetic" in rows[-1]["control_note"]


def test_a_control_with_arithmetic_of_its_own_is_scored_beside_it(small: Small) -> None:
    events = small.score("4", max_chunks=1, control=True, kernel="mlx-lm")
    assert [e.total for e in events if isinstance(e, Progress)] == [3, 3, 3]
    assert planned(events).settings == ["4"] and cells(events) == [("4", 0)]
    (row,) = finished(events).report["settings"]
    # Rounding apart, both are the same function in float32.
    assert row["control_kl"]["mean"] == pytest.approx(row["kl"]["mean"], rel=0.05)
    assert row["control_note"] is None


def test_llama_cpp_scores_the_second_half_of_its_windows(small: Small) -> None:
    events = small.score("4", protocol="llama.cpp", max_chunks=1)
    assert planned(events).positions_per_chunk == {"4": 15}
    ((positions, _),) = find_run(planned(events).run).read()["4"]
    assert positions.position.tolist() == list(range(16, 31))


def test_an_unfinished_twin_is_named(small: Small) -> None:
    first = stopped(small.job("8,4"), after=2)
    assert not finished(first).complete
    second = small.score("4")
    (warning,) = (event for event in second if isinstance(event, Warned))
    assert planned(first).run in warning.message
    assert f"qfid resume {planned(first).run}" in warning.hint
    assert planned(second).run != planned(first).run
    assert not any(isinstance(event, Warned) for event in small.score("4", chunk_length=40))


def test_a_wrong_input_is_an_event_and_leaves_no_run(small: Small) -> None:
    events = small.score("8", model=str(small.text))
    assert kinds(events) == ["hello", "failed"]
    failure = failed(events)
    assert (failure.error, failure.exit_code) == ("InputError", 2)
    assert "is a file, not a model" in failure.message
    assert list_runs() == []


def copied(small: Small, folder: Path) -> Small:
    return Small(shutil.copytree(small.model, folder / "tiny-llama"), small.text)


def test_a_drift_of_exactly_zero_fails_and_the_others_go_on(small: Small, tmp_path: Path) -> None:
    changed = copied(small, tmp_path)

    def no_queries(weights: dict[str, Any]) -> None:
        # Scores are zero whatever the keys are: quantizing keys alone changes nothing.
        for name, value in weights.items():
            if "q_proj" in name:
                weights[name] = mx.zeros_like(value)

    edit_weights(changed.model, no_queries)
    events = changed.score("k4v16,8")
    (failure,) = (event for event in events if isinstance(event, SettingFailedEvent))
    assert failure.setting == "k4v16" and failure.error == "SettingFailed"
    assert "did not engage" in failure.message and "62 positions" in failure.message
    report = finished(events).report
    assert [row["status"] for row in report["settings"]] == ["failed", "scored"]
    assert report["settings"][0]["verdict"] is None and report["settings"][0]["kl"] is None
    run = find_run(planned(events).run)
    assert run.info().failed == ("k4v16",) and run.finished


def test_settings_that_differ_and_agree_in_every_bit_both_fail(
    small: Small, tmp_path: Path
) -> None:
    changed = copied(small, tmp_path)

    def no_queries(weights: dict[str, Any]) -> None:
        for name, value in weights.items():
            if "q_proj" in name:
                weights[name] = mx.zeros_like(value)

    edit_weights(changed.model, no_queries)
    events = changed.score("4,k16v4,8")
    failures = [event for event in events if isinstance(event, SettingFailedEvent)]
    assert {event.setting for event in failures} == {"4", "k16v4"}
    assert all("in every bit" in event.message for event in failures)
    assert [row["status"] for row in finished(events).report["settings"]] == [
        "failed",
        "failed",
        "scored",
    ]


class NotFinite:
    """A lane whose logits hold NaN at one place of the text."""

    def __init__(self, lane: type[Any], setting: str | None, chunk_call: int) -> None:
        self.original = lane.logits
        self.setting = setting
        self.call = chunk_call
        self.seen = 0

    def __call__(self, lane: Any, hidden: mx.array, start: int, stop: int) -> mx.array:
        logits: mx.array = self.original(lane, hidden, start, stop)
        if self.setting is None or str(lane.setting) == self.setting:
            self.seen += 1
            if self.seen == self.call:
                logits[:, 5, 7] = mx.array(float("nan"))
        return logits


def broken(
    monkeypatch: pytest.MonkeyPatch, lane: type[Any], setting: str | None, call: int
) -> None:
    fault = NotFinite(lane, setting, call)
    monkeypatch.setattr(lane, "logits", lambda *a: fault(*a))


def test_nan_fails_one_setting_and_names_the_place(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        broken(patch, KVLane, "8", call=2)
        events = small.score("8,4", max_chunks=3)
    (failure,) = (event for event in events if isinstance(event, SettingFailedEvent))
    assert failure.setting == "8"
    assert "setting `8`: no finite likelihood at chunk 1, position 5" in failure.message
    assert cells(events) == [("8", 0), ("4", 0), ("4", 1), ("4", 2)]
    report = finished(events).report
    assert [row["status"] for row in report["settings"]] == ["failed", "scored"]
    assert report["settings"][0]["failure"]["message"] == failure.message
    assert report["settings"][1]["n_chunks"] == 3
    run = planned(events).run
    assert find_run(run).finished
    # While it is tried again the run is unfinished, also where that attempt is cut off.
    attempt = score(small.job("8,4", max_chunks=3), run=run)
    assert any(isinstance(event, Progress) for event in attempt)
    attempt.close()  # type: ignore[attr-defined]
    assert not find_run(run).finished
    # A success is no failure any more.
    again = list(score(small.job("8,4", max_chunks=3), run=run))
    assert cells(again) == [("8", 1), ("8", 2)]
    assert find_run(run).failures() == {}
    whole = finished(small.score("8,4", max_chunks=3)).report
    assert numbers(finished(again).report) == numbers(whole)


def test_a_reference_that_is_not_finite_fails_every_setting_and_keeps_what_is_saved(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each logits call of a reference lane is one chunk here; the first ones check the model.
    broken(monkeypatch, ReferenceLane, None, call=2)
    events = small.score("8,4", max_chunks=3)
    failures = [event for event in events if isinstance(event, SettingFailedEvent)]
    assert [failure.setting for failure in failures] == ["8", "4"]
    for failure in failures:
        assert failure.error == "SettingFailed" and "the full-precision model" in failure.message
        assert "no finite likelihood at chunk 1, position 5" in failure.message
    assert {row["status"] for row in finished(events).report["settings"]} == {"failed"}
    assert find_run(planned(events).run).scored() == {"8": {0}, "4": {0}}


def test_only_finished_and_failed_end_the_stream(small: Small) -> None:
    for events in (small.score("4"), small.score("4", model="nobody/nothing")):
        assert isinstance(events[0], Hello)
        assert sum(isinstance(event, Finished | Failed) for event in events) == 1
        assert isinstance(events[-1], Finished | Failed)
