"""Progress on standard error: what it says, when, and that it never breaks the terminal."""

from __future__ import annotations

import dataclasses
import io
import os
import pty
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_saved_runs import (
    CHUNKS,
    chunk_events,
    chunk_scored,
    opening,
    recording,
    save_run,
    script,
    started,
)
from hypothesis import given
from hypothesis import strategies as st
from project import ROOT

from qfid_tui.cli import diagnostics, progress_display
from qfid_tui.cli.progress_display import ProgressBar, ProgressLines
from qfid_tui.state.progress import RunProgress
from qfid_tui.words.progress import duration, planned_text, rate_text
from scorer.spec.events import (
    Event,
    Loading,
    Planned,
    Progress,
    SettingDropped,
    SettingFailedEvent,
    Warned,
)


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def planned(chunks: int = 4, batch: int = 1, **done: int) -> Planned:
    names = list(done) or ["8", "4"]
    return Planned(
        run="r1",
        run_path="/runs/r1",
        model="demo",
        settings=names,
        chunks=list(range(chunks)),
        done=done,
        positions_per_chunk=dict.fromkeys(names, 15),
        kv_bytes_per_token=dict.fromkeys(names, 100.0),
        kv_bytes_per_token_16bit=200.0,
        batch=batch,
        arithmetic="cpu",
    )


def fed(clock: Clock, events: list[tuple[float, Event]]) -> RunProgress:
    run = RunProgress(clock)
    for seconds, event in events:
        clock.now += seconds
        run.add(event)
    return run


def test_rate_and_time_left_are_known_from_the_first_chunk_on() -> None:
    clock = Clock()
    run = fed(clock, [(5, planned()), (1, Progress(0, "", 1, 3)), (1, Progress(0, "8", 2, 3))])
    assert (run.rate, run.seconds_left) == (None, None)
    assert run.fraction == pytest.approx(2 / 3 / 4)
    for seconds, event in ((0, chunk_scored("8", 0, 0.1)), (1, chunk_scored("4", 0, 0.2))):
        clock.now += seconds
        run.add(event)
    assert (run.complete, run.rate, run.seconds_left) == (1, 1 / 3, pytest.approx(9))
    clock.now += 1
    run.add(Progress(1, "", 1, 3))
    assert run.fraction == pytest.approx((1 + 1 / 3) / 4)


def test_a_resumed_run_counts_its_own_work_only() -> None:
    clock = Clock()
    run = fed(clock, [(0, planned(10, **{"8": 6, "4": 4}))])
    assert (run.complete, run.fraction, run.saved) == (4, 0.5, 10)
    for chunk in (4, 5):
        clock.now += 2
        run.add(chunk_scored("4", chunk, 0.1))
    # Two of ten scored in 4 s, eight left: four chunks under both settings.
    assert (run.complete, run.rate, run.seconds_left) == (6, 0.25, pytest.approx(16))


def test_where_weights_take_turns_every_scored_chunk_counts() -> None:
    clock = Clock()
    names = ("8", "w4", "w4+8", "w3")
    run = fed(clock, [(0, planned(4, 1, **dict.fromkeys(names, 0)))])
    for chunk in range(4):
        clock.now += 1
        run.add(Progress(chunk, "8", 1, 1))
        run.add(chunk_scored("8", chunk, 0.1))
    assert (run.complete, run.fraction, run.seconds_left) == (0, 0.25, pytest.approx(12))
    assert run.in_turns and run.turn == ""
    run.add(Progress(0, "", 1, 4))
    assert run.fraction == 0.25
    run.add(Loading("model", "w4"))
    assert run.loading is not None
    for name in ("w4", "w4+8"):
        clock.now += 1
        run.add(Progress(0, name, 1, 2))
        run.add(chunk_scored(name, 0, 0.1))
    assert run.loading is None and (run.turn, run.complete_of_turn) == ("w4", 1)
    assert run.fraction == pytest.approx(6 / 16)
    run.add(SettingDropped("w3", "beaten by `w4`"))
    assert (run.planned_in_all, run.fraction) == (12, pytest.approx(0.5))
    run.add(SettingFailedEvent("w4+8", "SettingFailed", "not finite"))
    assert (run.planned_in_all, run.saved) == (9, 6)
    for chunk in (1, 2, 3):
        run.add(chunk_scored("w4", chunk, 0.1))
    assert (run.fraction, run.seconds_left) == (1.0, 0.0)


def test_weights_that_are_scored_together_take_no_turns() -> None:
    run = fed(Clock(), [(0, planned(4, 2, **dict.fromkeys(("8", "w4"), 0)))])
    for first in (0, 2):
        for name in ("8", "w4"):
            run.add(Progress(first, name, 1, 2))
            for chunk in (first, first + 1):
                run.add(chunk_scored(name, chunk, 0.1))
    assert not run.in_turns and run.turn is None and run.complete == 4


def test_batches_that_are_scored_beside_each_other_count_together() -> None:
    clock = Clock()
    run = fed(clock, [(0, planned()), (1, Progress(0, "", 1, 3)), (1, Progress(1, "", 1, 3))])
    assert run.fraction == pytest.approx(2 / 3 / 4)
    shares = [run.fraction]
    for chunk, name, done in ((1, "8", 2), (0, "8", 2), (1, "4", 3), (0, "4", 3)):
        run.add(Progress(chunk, name, done, 3))
        shares.append(run.fraction)
    assert shares == sorted(shares) and run.fraction == pytest.approx(2 / 4)
    # They are told of in order, the second as a whole.
    clock.now += 2
    for chunk in (0, 1):
        for name in ("8", "4"):
            run.add(chunk_scored(name, chunk, 0.1))
            assert run.fraction == pytest.approx(2 / 4)
    assert (run.complete, run.rate, run.seconds_left) == (2, 0.5, pytest.approx(4))
    run.add(Progress(3, "", 1, 3))
    run.add(Progress(2, "", 1, 3))
    assert run.fraction == pytest.approx((2 + 2 / 3) / 4) and not run.in_turns


def test_a_setting_that_fails_holds_nothing_up() -> None:
    clock = Clock()
    run = fed(clock, [(0, planned()), (1, chunk_scored("8", 0, 0.1))])
    assert run.complete == 0
    run.add(SettingFailedEvent("4", "SettingFailed", "not finite"))
    assert run.complete == 1
    run.add(SettingFailedEvent("8", "SettingFailed", "not finite"))
    assert run.complete == run.chunks == 4


def test_kl_means_weigh_positions() -> None:
    run = fed(
        Clock(),
        [
            (0, planned()),
            (0, chunk_scored("8", 0, 0.1, positions=10)),
            (0, chunk_scored("8", 1, 0.4, positions=30)),
        ],
    )
    assert run.kl_means == {"8": pytest.approx(0.325)}


EVENTS = st.lists(
    st.one_of(
        st.builds(
            Progress,
            st.integers(-1, 9),
            st.sampled_from(("", "8", "4", "?")),
            st.integers(0, 9),
            st.integers(0, 9),
        ),
        st.builds(
            chunk_scored,
            st.sampled_from(("8", "4", "?")),
            st.integers(0, 9),
            st.floats(),
            st.integers(0, 600),
        ),
        st.builds(SettingFailedEvent, st.sampled_from(("8", "4")), st.text(), st.text(), st.text()),
        st.builds(SettingDropped, st.sampled_from(("8", "4", "?")), st.text()),
        st.builds(Warned, st.text(), st.text()),
        st.builds(Loading, st.text(), st.text()),
        st.builds(planned, st.integers(0, 9), st.integers(1, 9)),
    ),
    max_size=30,
)


@given(EVENTS, st.lists(st.floats(0, 1e6), min_size=30, max_size=30), st.booleans())
def test_no_order_of_events_breaks_a_display(
    events: list[Event], steps: list[float], terminal: bool
) -> None:
    clock, said = Clock(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", said)
        display = ProgressBar(clock) if terminal else ProgressLines(clock)
        for event, seconds in zip(events, steps, strict=False):
            clock.now += seconds
            display.add(event)
            assert 0 <= display.run.fraction <= 1
            assert display.run.seconds_left is None or display.run.seconds_left >= 0
        display.clear()
    shown = said.getvalue()
    left = re.sub(r"\r?\x1b\[(?:J|\dA)|\r", "", shown)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", left)
    if not terminal:
        assert "\x1b" not in shown and "\r" not in shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.6, "1 h 00 min"),
        (3900, "1 h 05 min"),
        (100 * 3600, "100 h 00 min"),
    ],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_slow_rates_are_seconds_per_chunk() -> None:
    assert (rate_text(1.64), rate_text(0.125)) == ("1.6 chunks/s", "8.0 s/chunk")


def test_plain_lines_stay_few(capfd: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    display = ProgressLines(clock)
    display.add(planned(2000, **{"8": 0}))
    for chunk in range(2000):
        clock.now += 0.5
        display.add(Progress(chunk, "8", 2, 2))
        display.add(chunk_scored("8", chunk, 0.001))
    lines = capfd.readouterr().err.splitlines()
    assert lines[:3] == [
        "scoring 8 on 2000 chunks with demo (cpu)",
        "saved as run r1",
        "1 of 2000 chunks scored, 2.0 chunks/s, 16 min 40 s left; KL mean 8: 0.001",
    ]
    assert len(lines) == 2 + 11
    assert lines[-1].startswith("2000 of 2000 chunks scored, 2.0 chunks/s, 0 s left")


@contextmanager
def terminal_of(columns: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    said = io.StringIO()
    monkeypatch.setattr("sys.stderr", said)
    monkeypatch.setattr(progress_display, "_columns", lambda: columns)
    yield said


@pytest.mark.parametrize("columns", [10, 40, 80, 140])
def test_the_bar_is_two_lines_that_fit(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    with terminal_of(columns, monkeypatch) as said:
        display = ProgressBar(clock)
        events = [planned(), *chunk_events(save_run(), 3), Progress(3, "", 1, 3)]
        for event in events:
            clock.now += 1
            display.add(event)
        display.clear()
    screens = said.getvalue().split("\r\x1b[J")
    *_, last, after = screens
    assert after == ""
    first, second = last.removesuffix("\r\x1b[1A").split("\n")
    assert max(len(first), len(second)) < columns
    if columns >= 80:
        assert re.fullmatch(
            r"chunk 4 of 4 [█#]+[░-]+ 83 % · 4.8 s/chunk · 3 s left · reference", first
        )
        assert second == "KL mean 8: 0.0005, 4: 0.3"


def test_the_bar_is_painted_ten_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    with terminal_of(80, monkeypatch) as said:
        display = ProgressBar(clock)
        display.add(planned(1000, **{"8": 0}))
        start = said.tell()
        for chunk in range(1000):
            clock.now += 0.001
            display.add(chunk_scored("8", chunk, 0.001))
    assert 8 <= said.getvalue()[start:].count("\x1b[1A") <= 11


def test_lines_that_stay_take_the_place_of_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal_of(80, monkeypatch) as said:
        display = ProgressBar(Clock())
        display.add(Loading("model", "demo"))
        display.add(Warned("beware", "do this"))
        display.add(Loading("checking", "a\x1b[2Jb"))
        display.clear()
    assert said.getvalue() == (
        "\r\x1b[Jloading demo\r"
        "\r\x1b[Jwarning: beware\nhint: do this\n"
        "\r\x1b[Jchecking a␛[2Jb\r"
        "\r\x1b[J"
    )


@pytest.mark.parametrize(
    ("term", "terminal"), [("xterm-256color", True), ("dumb", False), ("", False)]
)
def test_only_a_terminal_that_can_rewrite_gets_the_bar(
    term: str, terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stderr", Stream())
    monkeypatch.setenv("TERM", term)
    assert diagnostics.on_terminal() is terminal
    assert isinstance(progress_display.progress_display(), ProgressBar) is terminal


def test_on_a_real_terminal_the_report_is_whole_and_the_bar_is_gone(tmp_path: Path) -> None:
    path = script(tmp_path / "s", recording(save_run()))
    main_end, other_end = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(ROOT)}
    with started(path, "kv", "demo", stderr=other_end, env=env) as process:
        os.close(other_end)
        out, _ = process.communicate()
        seen = b""
        try:
            while block := os.read(main_end, 65536):
                seen += block
        except OSError:
            pass  # Linux says so when the other end is closed
        finally:
            os.close(main_end)
    assert process.returncode == 0
    assert out.startswith("# KV-fidelity") and "\x1b" not in out
    text = seen.decode()
    assert f"scoring 8, 4 on {CHUNKS} chunks with demo" in text
    assert "chunk 1 of 4" in text
    assert text.endswith("\x1b[J")


def test_what_was_done_before_is_said() -> None:
    event = dataclasses.replace(opening(save_run())[-1], done={"8": 3, "4": 1})  # type: ignore[call-arg]
    assert isinstance(event, Planned)
    assert planned_text(event).endswith(", 4 of 8 scored already")
