"""The process that drives the scorer, against children that play scripts."""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path

import pytest
from cli_saved_runs import FAKE, failing, opening, recording, request_of, save_run, script

from qfid_tui.process import scorer_process
from qfid_tui.process.scorer_process import ScorerProcess
from scorer.common.child_end import ending
from scorer.common.errors import QfidError
from scorer.spec.events import Failed, Hello, Loading
from scorer.spec.job import Job
from scorer.spec.settings.registry import parse_settings

JOB = Job("demo", parse_settings("8,4")).to_json()


def fake(path: Path) -> list[str]:
    return [sys.executable, str(FAKE), str(path)]


def test_a_whole_run_comes_through_event_by_event(tmp_path: Path) -> None:
    events = recording(save_run())
    path = script(tmp_path / "s", events)
    with ScorerProcess(JOB, command=fake(path)) as process:
        assert list(process.events()) == events
    assert process.close() == 0
    assert request_of(path) == json.loads(json.dumps(JOB))


def test_lines_that_are_no_events_are_passed_over(tmp_path: Path) -> None:
    events = opening()
    garbage = ["", "garbage", "{", "[]", '{"event": "later"}', "\x1b[31mred", "x" * 100_000]
    mixed = [part for event in events for part in (*garbage, event)]
    with ScorerProcess(JOB, command=fake(script(tmp_path / "s", *mixed))) as process:
        assert list(process.events()) == events


def test_nothing_is_read_after_the_last_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer_process, "_TIMEOUT_SECONDS", 0.05)
    events = failing(None, "no", 2)
    path = script(tmp_path / "s", events, Loading("model", "late"), "!hang")
    with ScorerProcess(JOB, command=fake(path)) as process:
        assert list(process.events()) == events
    # The fake ends with its input, as the scorer does, if it is not killed first.
    assert process.close() in (9, -signal.SIGKILL)


def test_a_child_that_outlives_its_input_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer_process, "_TIMEOUT_SECONDS", 0.05)
    command = [
        sys.executable,
        "-c",
        "import os, signal\nprint('x', flush=True)\nos.close(1)\nsignal.pause()",
    ]
    with ScorerProcess(None, command=command) as process:
        assert list(process.events()) == []
    assert process.close() == -signal.SIGKILL


@pytest.mark.parametrize(
    ("last", "code", "words"),
    [
        ("!abort", -signal.SIGABRT, "was ended by SIGABRT"),
        ("!exit 3", 3, "ended with code 3"),
        ("!exit 0", 0, "ended with code 0"),
    ],
)
def test_a_child_that_dies_says_how(tmp_path: Path, last: str, code: int, words: str) -> None:
    path = script(tmp_path / "s", opening(), "!say last words", last)
    with ScorerProcess(JOB, command=fake(path)) as process:
        assert list(process.events()) == opening()
    assert process.close() == code
    assert ending(code) == words
    assert process.log[-1] == "last words"
    assert not process.killed


def test_a_signal_without_a_name_is_numbered() -> None:
    assert ending(-200) == "was ended by signal 200"


def test_the_log_keeps_the_last_lines_only_and_never_blocks_the_child(tmp_path: Path) -> None:
    noise = [f"!say {'n' * 1000} {i}" for i in range(300)]
    path = script(tmp_path / "s", *noise, "!say a bar 10 %\rthe bar 100 %", opening(), "!say  ")
    with ScorerProcess(JOB, command=fake(path)) as process:
        assert list(process.events()) == opening()
    process.close()
    assert len(process.log) == 20
    assert max(map(len, process.log)) == 400
    assert process.log[-1] == "the bar 100 %"


def test_a_log_without_line_ends_is_kept_short() -> None:
    command = [sys.executable, "-c", "import sys\nsys.stderr.write('y' * 3_000_000)"]
    with ScorerProcess(None, command=command) as process:
        assert list(process.events()) == []
    process.close()
    assert sum(map(len, process.log)) <= 20 * 400


def test_an_interrupted_child_ends_in_order(tmp_path: Path) -> None:
    end = Failed("Interrupted", "stopped", "", 130)
    path = script(tmp_path / "s", opening(), "!wait", end, "!exit 130")
    with ScorerProcess(JOB, command=fake(path)) as process:
        seen = []
        for event in process.events():
            seen.append(event)
            if len(seen) == len(opening()):
                process.interrupt()
    assert seen == [*opening(), end]
    assert process.close() == 130
    assert not process.killed


def test_a_child_that_has_said_nothing_is_killed_by_an_interrupt(tmp_path: Path) -> None:
    with ScorerProcess(JOB, command=fake(script(tmp_path / "s", "!hang"))) as process:
        process.interrupt()
        assert list(process.events()) == []
    assert process.killed
    assert process.close() == -signal.SIGKILL


def test_a_deaf_child_can_be_killed(tmp_path: Path) -> None:
    path = script(tmp_path / "s", "!deaf", opening(), "!hang")
    with ScorerProcess(JOB, command=fake(path)) as process:
        for event in process.events():
            if event == opening()[-1]:
                process.interrupt()
                process.kill()
    assert process.close() == -signal.SIGKILL


def test_a_paused_child_can_be_killed_and_one_that_proceeds_goes_on(tmp_path: Path) -> None:
    with ScorerProcess(JOB, command=fake(script(tmp_path / "s", opening(), "!hang"))) as process:
        stream = process.events()
        assert isinstance(next(stream), Hello)
        process.pause()
        process.kill()
        assert list(stream) in (opening()[1:], [])
    with ScorerProcess(JOB, command=fake(script(tmp_path / "t", "!say up", opening()))) as process:
        process.pause()
        process.proceed()
        assert list(process.events()) == opening()


def test_leaving_by_an_exception_ends_the_child(tmp_path: Path) -> None:
    path = script(tmp_path / "s", "!deaf", opening(), "!hang")
    with pytest.raises(KeyError), ScorerProcess(JOB, command=fake(path)) as process:
        next(process.events())
        raise KeyError
    assert process.close() == -signal.SIGKILL


def test_a_child_that_does_not_read_its_request_is_no_error() -> None:
    request = {"model": "m" * 1_000_000}
    with ScorerProcess(request, command=[sys.executable, "-c", ""]) as process:
        assert list(process.events()) == []
    assert process.close() == 0


def test_a_missing_program_is_one_error() -> None:
    with pytest.raises(QfidError, match="cannot be started: No such file"):
        ScorerProcess(JOB, command=["/nowhere/python"])


def test_it_starts_in_the_main_thread_only(tmp_path: Path) -> None:
    raised: list[BaseException] = []

    def start() -> None:
        try:
            ScorerProcess(JOB, command=fake(script(tmp_path / "s", "!exit 0")))
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(raised[0])


def test_events_may_be_read_in_another_thread(tmp_path: Path) -> None:
    events = recording(save_run())
    seen: list[object] = []
    with ScorerProcess(JOB, command=fake(script(tmp_path / "s", events))) as process:
        thread = threading.Thread(target=lambda: seen.extend(process.events()))
        thread.start()
        thread.join()
    assert seen == events


def test_the_real_child_refuses_a_job_that_is_none() -> None:
    with ScorerProcess({"model": "demo"}) as process:
        (event,) = process.events()
    assert isinstance(event, Failed)
    assert event.exit_code == 2
    assert process.close() == 2
