"""What a run's events add up to in the app, against the definitions and the report."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from begun_comparisons import begun, job
from cli_saved_runs import (
    CHUNKS,
    chunk_events,
    chunk_scored,
    opening,
    recording,
    report_of,
    save_run,
)
from hypothesis import example, given
from hypothesis import strategies as st

from qfid_tui.state.choices import Choices
from qfid_tui.state.earlier_runs import earlier_settings
from qfid_tui.state.saved_comparison import documents_of
from qfid_tui.state.setting_results import SettingResult, figures_of
from qfid_tui.state.table_rows import table_rows
from qfid_tui.words.about_line import note
from qfid_tui.words.best_setting import best_line
from scorer.report.from_run import finished_report
from scorer.report.saved_report import saved_report, stored_report
from scorer.report.tree import Report
from scorer.runs.listing import find_run
from scorer.spec.events import (
    ChunkScored,
    Event,
    Failed,
    Finished,
    Loading,
    Planned,
    SettingFailedEvent,
    Warned,
)
from scorer.spec.thresholds import KV
from scorer.stats.intervals import mean_interval, units_of, with_width
from scorer.stats.verdict import verdict_of


def test_a_run_goes_through_its_phases() -> None:
    run = save_run(finished=False, chunks=0)
    comparison = begun()
    assert (comparison.phase, comparison.is_active, comparison.run) == ("starting", True, None)
    comparison.add(Loading("model", "demo"))
    assert comparison.step == Loading("model", "demo")
    for event in opening(run):
        comparison.add(event)
    assert (comparison.phase, comparison.run) == ("scoring", run.id)
    assert comparison.machine is not None and comparison.machine.device_name == "Test CPU"
    for event in chunk_events(run):
        comparison.add(event)
    assert comparison.saved == 2 * CHUNKS and comparison.complete == CHUNKS
    assert comparison.is_scored("8") and not comparison.is_scored("6")
    whole = save_run()
    comparison.add(Finished(report_of(whole)))
    assert (comparison.phase, comparison.is_active) == ("finished", False)
    comparison.end(by_user=False)
    assert comparison.phase == "finished"


def test_final_numbers_are_those_of_the_report() -> None:
    run = save_run()
    comparison = begun()
    for event in recording(run):
        comparison.add(event)
    report = report_of(run)
    for row in report["settings"]:
        figures = comparison.figures(row["setting"])
        assert figures is not None and figures.final
        assert figures.kl_mean == row["kl"]["mean"]
        assert figures.shown_verdict == row["verdict_shown"]
        assert figures.perplexity_delta == row["perplexity_delta"]
    assert comparison.cheapest_good() is not None
    assert comparison.cheapest_good()[0] == report["recommendation"]["setting"]  # type: ignore[index]


@given(
    st.lists(
        st.tuples(
            st.floats(0, 20, allow_nan=False), st.integers(0, 15), st.floats(0, 20, allow_nan=False)
        ),
        min_size=1,
        max_size=40,
    )
)
def test_live_numbers_are_the_means_over_chunks_with_their_interval(
    chunks: list[tuple[float, int, float]],
) -> None:
    result = SettingResult("4")
    for number, (kl, flips, p99) in enumerate(chunks):
        result.add(ChunkScored("4", number, 15, kl, kl, p99, flips, 30.0, 31.5, 0.1))
    figures = result.figures
    assert figures is not None and figures.chunks == len(chunks)
    kls = [kl for kl, _, _ in chunks]
    assert figures.kl_mean == pytest.approx(math.fsum(kls) / len(kls), abs=1e-12)
    units = units_of(range(len(kls)), {})
    expected = with_width(mean_interval(kls, [1] * len(kls), units, lowest=0.0))
    if figures.kl_interval is None:
        assert expected is None or expected.high - expected.low < 1e-9
    else:
        assert expected is not None
        assert figures.kl_interval.low == pytest.approx(expected.low, abs=1e-9)
        assert figures.kl_interval.high == pytest.approx(expected.high, abs=1e-9)
    p99 = math.fsum(p for _, _, p in chunks) / len(chunks)
    flips = math.fsum(f / 15 for _, f, _ in chunks) / len(chunks)
    if not any(abs(p99 - b) < 1e-9 for b in (0.1, 1.0)):
        assert figures.verdict == verdict_of(figures.kl_mean, figures.kl_p99, figures.flip_rate, KV)
    assert figures.flip_rate == pytest.approx(flips)
    assert figures.perplexity == pytest.approx(math.exp(31.5 / 15))


def test_a_chunk_told_twice_counts_once_and_one_without_positions_never() -> None:
    comparison = begun()
    comparison.add(chunk_scored("8", 3, 0.5))
    comparison.add(chunk_scored("8", 3, 0.9))
    comparison.add(chunk_scored("8", 4, 0.9, positions=0))
    assert comparison.settings["8"].kl == [0.5]


@pytest.mark.parametrize("kl", [math.nan, math.inf])
def test_numbers_that_are_none_have_no_interval_and_are_bad(kl: float) -> None:
    result = SettingResult("4")
    for chunk in range(3):
        result.add(chunk_scored("4", chunk, kl))
    figures = result.figures
    assert figures is not None and figures.kl_interval is None and figures.verdict == "bad"


def test_a_stopped_run_goes_on_with_the_chunks_it_has() -> None:
    run = save_run(finished=False, chunks=0)
    comparison = begun()
    for event in [*opening(run), *chunk_events(run, 2)]:
        comparison.add(event)
    comparison.stop()
    comparison.end(by_user=True)
    assert (comparison.phase, comparison.fraction) == ("stopped", 0.5)
    comparison.begin(job("8,4"))
    done = opening(run)
    object.__setattr__(done[-1], "done", {"8": 2, "4": 2})
    for event in done:
        comparison.add(event)
    assert not comparison.lacks
    for chunk in (2, 3):
        comparison.add(chunk_scored("8", chunk, 0.0005))
    assert comparison.settings["8"].chunks == [0, 1, 2, 3]


def test_chunks_that_are_no_longer_saved_are_forgotten_when_the_run_goes_on() -> None:
    run = save_run(finished=False, chunks=0)
    comparison = begun()
    for event in [*opening(run), *chunk_events(run, 2)]:
        comparison.add(event)
    comparison.begin(job("8,4"))
    again = opening(run)
    object.__setattr__(again[-1], "done", {"4": 2})
    for event in again:
        comparison.add(event)
    assert (comparison.saved, comparison.settings["8"].chunks) == (2, [])
    assert list(comparison.settings) == ["8", "4"]
    comparison.add(chunk_scored("8", 0, 0.1))
    assert comparison.settings["8"].chunks == [0]


def test_it_says_when_saved_chunks_were_never_heard_of() -> None:
    run = save_run(finished=False, chunks=0)
    comparison = begun()
    told = opening(run)
    object.__setattr__(told[-1], "done", {"8": 1, "4": 0})
    for event in told:
        comparison.add(event)
    assert comparison.lacks
    comparison.add_chunks(chunk_scored("8", 0, 0.1))
    assert not comparison.lacks


def test_a_child_that_ends_without_a_word_failed_unless_it_was_stopped() -> None:
    for by_user, phase in ((False, "failed"), (True, "stopped")):
        comparison = begun()
        comparison.end(by_user=by_user)
        assert comparison.phase == phase


def test_a_failure_is_kept_and_one_by_the_user_is_a_stop() -> None:
    for code, phase in ((2, "failed"), (3, "failed"), (130, "stopped")):
        comparison = begun()
        comparison.add(Failed("InputError", "no", "do", code, run="r1"))
        comparison.end(by_user=False)
        assert (comparison.phase, comparison.run) == (phase, "r1")


def test_one_setting_may_fail_alone_and_is_tried_again() -> None:
    run = save_run(finished=False, chunks=0)
    comparison = begun()
    for event in opening(run):
        comparison.add(event)
    comparison.add(SettingFailedEvent("4", "SettingFailed", "exact zero", "see doctor"))
    comparison.add(Warned("slow", "install MKL"))
    assert comparison.settings["4"].failure == "exact zero; see doctor"
    assert not comparison.is_scored("4")
    assert list(comparison.warnings) == [("slow", "install MKL")]
    for event in opening(run):
        comparison.add(event)
    assert comparison.settings["4"].failure is None


def test_a_settled_good_setting_is_preferred_to_a_cheaper_open_one() -> None:
    comparison = begun("8,6,4")
    comparison.kv_bytes = {"8": 80.0, "6": 60.0, "4": 40.0, "": 160.0}
    for chunk in range(4):
        comparison.add(chunk_scored("8", chunk, 0.001 + 1e-5 * chunk, 511))
        comparison.add(chunk_scored("6", chunk, (0.0001, 0.019, 0.0001, 0.019)[chunk], 511))
        comparison.add(chunk_scored("4", chunk, 0.5, 511))
    found = comparison.cheapest_good()
    assert found is not None and found[0] == "8" and not found[1].is_open
    assert begun().cheapest_good() is None


def test_where_no_setting_is_good_the_one_that_drifts_least_is_named() -> None:
    comparison = begun("4,2")
    for chunk in range(4):
        comparison.add(chunk_scored("4", chunk, 0.5 + chunk / 1000, 511))
        comparison.add(chunk_scored("2", chunk, 3.0, 511))
    line = best_line(comparison)
    assert line == [("no setting is good so far; 4 drifts least: bad", "text")]
    assert best_line(begun()) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda row: row.pop("intervals"),
        lambda row: row.update(kl=None),
        lambda row: row.update(kl={"mean": "much"}),
        lambda row: row.update(verdict_open=7),
    ],
)
def test_a_report_that_was_edited_gives_no_numbers_and_no_crash(spoil: object) -> None:
    run = save_run()
    report = report_of(run)
    row = Report.from_json(report).settings[0]
    assert figures_of(row) is not None
    assert figures_of(dataclasses.replace(row, numbers=None)) is None
    spoil(report["settings"][0])  # type: ignore[operator]
    (run.path / "report.json").write_text(json.dumps(report))
    assert stored_report(run) is None and earlier_settings("demo") == []
    assert saved_report(run) == finished_report(run), "it is made again"
    comparison = begun()
    for event in [*opening(run), *chunk_events(run), Finished(report)]:
        comparison.add(event)
    assert (comparison.phase, comparison.report) == ("failed", None)
    assert comparison.failure is not None and comparison.failure.exit_code == 1
    figures = comparison.figures("8")
    assert figures is not None and not figures.final, "what is known is that of the chunks"


@given(
    st.lists(
        st.tuples(st.floats(1e-6, 10.0), st.none() | st.integers(0, 8)), min_size=2, max_size=60
    ),
    st.booleans(),
)
@example([(10.0, None), (9.999999999999998, None)], False)
def test_live_intervals_take_documents_as_units_as_the_report_does(
    chunks: list[tuple[float, int | None]], early: bool
) -> None:
    documents = {chunk: document for chunk, (_, document) in enumerate(chunks)}
    comparison = begun("8")
    if early:
        comparison.set_documents(documents)
    comparison.add_chunks(*(chunk_scored("8", i, kl) for i, (kl, _) in enumerate(chunks)))
    if not early:
        comparison.set_documents(documents)
    figures = comparison.figures("8")
    units = units_of(range(len(chunks)), documents)
    kls = [kl for kl, _ in chunks]
    expected = with_width(mean_interval(kls, [1] * len(chunks), units, lowest=0.0))
    assert figures is not None
    live = figures.kl_interval
    if live is None or expected is None:
        # Units that are equal but for rounding may have a spread for one of the two.
        assert all(ends is None or ends.high - ends.low < 1e-5 for ends in (live, expected))
    else:
        # Sums of squares that all but cancel leave half of the digits.
        assert live.low == pytest.approx(expected.low, abs=1e-6)
        assert live.high == pytest.approx(expected.high, abs=1e-6)


def test_a_saved_run_says_which_documents_its_chunks_begin_in() -> None:
    run = save_run(finished=False, chunks=2)
    path = run.path / "job.json"
    data = json.loads(path.read_text())
    data["facts"]["run"]["documents"] = {"0": 4, "1": None}
    path.write_text(json.dumps(data))
    assert documents_of(find_run(run.id)) == {0: 4, 1: None}
    for edited in ({"x": 1}, {"0": "y"}, "edited"):
        data["facts"]["run"]["documents"] = edited
        path.write_text(json.dumps(data))
        assert documents_of(find_run(run.id)) == {}


@pytest.mark.parametrize(("chunks", "said"), [(0, False), (12, True), (40, False)])
def test_chunks_to_settle_that_the_text_lacks_are_told_so(chunks: int, said: bool) -> None:
    run = save_run(finished=False, chunks=0)
    comparison = begun("8")
    for event in opening(run):
        comparison.add(dataclasses.replace(event, text_chunks=chunks) if is_plan(event) else event)
    # KL means around the bound of "good", so far apart that the verdict stays open.
    for number, kl in enumerate((0.003, 0.013, 0.005, 0.009)):
        event = chunk_scored("8", number, kl, 511)
        # One flip a chunk: as much as chance, so that flips settle.
        comparison.add(dataclasses.replace(event, flips=1, kl_squares=0.0))
    row = next(row for row in table_rows(Choices(), comparison, None) if row.name == "8")
    assert row.figures is not None and row.figures.more_chunks is not None
    assert 12 < 4 + row.figures.more_chunks < 40
    assert row.text_chunks == chunks
    assert ("this text cannot settle it" in note(row)) is said


def is_plan(event: Event) -> bool:
    return isinstance(event, Planned)
