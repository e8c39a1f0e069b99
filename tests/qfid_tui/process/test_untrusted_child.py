"""What a child writes is data: damage, floods, endless lines, processes that stay behind."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from pathlib import Path

import pytest
from app_pilot import demo_choices, piloted, running, until
from cli_saved_runs import opening, recording, save_run, script
from deadline import DEADLINE

from qfid_tui.app import run_worker
from qfid_tui.app.run_worker import RunningScorer
from qfid_tui.process import child_output, scorer_process
from qfid_tui.process.scorer_process import ScorerProcess
from qfid_tui.state.setting_results import SettingResult
from scorer.device.host_memory import HostMemory
from scorer.spec.events import Failed, Finished, Loading, Planned, parse_line

CHOICES = demo_choices(chunk_length=16, corpus="wikitext2")


def child(body: str) -> list[str]:
    return [sys.executable, "-c", f"import os, subprocess, sys, time\n{body}"]


def events_of(path: Path) -> list[object]:
    from cli_saved_runs import FAKE

    with ScorerProcess({}, command=[sys.executable, str(FAKE), str(path)]) as process:
        return list(process.events())


@pytest.mark.parametrize("kind", [Planned.kind, Finished.kind, Failed.kind])
def test_a_damaged_event_that_is_needed_fails_the_run(kind: str, tmp_path: Path) -> None:
    run = save_run()
    known = opening(run)
    planned = any(isinstance(event, Planned) for event in known)
    line = f'{{"event": "{kind}", "message": 5}}'
    found = events_of(script(tmp_path / "s", known, line, "!exit 0"))
    assert found[:-1] == known
    last = found[-1]
    assert isinstance(last, Failed) and last.exit_code == 1 and f"damaged `{kind}`" in last.message
    assert planned and last.run == run.id and f"`qfid resume {run.id}`" in last.hint


def test_other_damaged_events_are_passed_over(tmp_path: Path) -> None:
    assert events_of(script(tmp_path / "s", '{"event": "chunk", "positions": "x"}', opening())) == (
        opening()
    )


@pytest.mark.parametrize(("sent", "taken"), [(0, 1), (-9, 1), (77, 1), (2, 2), (3, 3), (130, 130)])
def test_a_failure_never_has_the_exit_code_of_success(
    sent: int, taken: int, tmp_path: Path
) -> None:
    path = script(tmp_path / "s", Failed("InputError", "no", "", sent))
    (event,) = events_of(path)
    assert isinstance(event, Failed) and event.exit_code == taken


def test_an_endless_line_ends_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_output, "LONGEST_LINE", 1 << 20)
    endless = child("while True: os.write(1, b'x' * 65536)")
    with ScorerProcess(None, command=endless) as process:
        (event,) = process.events()
    assert isinstance(event, Failed) and "a line of more than" in event.message


@pytest.mark.parametrize("session", ["", "os.setsid()"])
def test_what_the_child_has_started_does_not_hold_its_output_open(session: str) -> None:
    line = Loading("model").to_line()
    stays = child(
        "if os.fork() == 0:\n"
        f"    {session or 'pass'}\n"
        "    time.sleep(600)\n"
        f"sys.stdout.write({line!r}); sys.stdout.flush()\n"
        "time.sleep(0.2); os._exit(7)\n"
    )
    start = time.monotonic()
    with ScorerProcess(None, command=stays) as process:
        assert list(process.events()) == [parse_line(line)]
        assert process.close() == 7
    assert time.monotonic() - start < DEADLINE / 4


def test_a_kill_ends_what_the_child_has_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    nested = child(
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pid_file)!r} + '.new', 'w').write(str(p.pid))\n"
        f"os.rename({str(pid_file)!r} + '.new', {str(pid_file)!r})\n"
        "time.sleep(600)\n"
    )
    with ScorerProcess(None, command=nested) as process:
        end = time.monotonic() + DEADLINE
        while not pid_file.exists():
            assert time.monotonic() < end
            time.sleep(0.01)
        process.kill()
        assert list(process.events()) == []
    from cli_saved_runs import is_gone

    while not is_gone(int(pid_file.read_text())):
        assert time.monotonic() < end
        time.sleep(0.01)


HOLDING = (
    "import ctypes, signal\n"
    "signal.signal(signal.SIGINT, lambda *_: None)\n"
    # A call of PyDLL keeps the interpreter, as a library that reads a model's file can.
    f"sys.stdout.write({Loading('tokenizing').to_line()!r}); sys.stdout.flush()\n"
    "while True: ctypes.PyDLL(None).sleep(600)\n"
)


def test_one_interrupt_ends_a_child_whose_interpreter_is_held() -> None:
    with ScorerProcess(None, command=child(HOLDING)) as process:
        events = process.events()
        assert isinstance(next(events), Loading)
        start = time.monotonic()
        process.interrupt()
        assert list(events) == []
        assert 1 < time.monotonic() - start < 2.5
        assert process.killed


def test_a_child_that_takes_the_memory_before_its_plan_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = [HostMemory(64 << 30, 20 << 30)]
    monkeypatch.setattr(scorer_process, "host_memory", lambda: memory[0])
    with ScorerProcess(None, command=child(HOLDING)) as process:
        events = process.events()
        assert isinstance(next(events), Loading)
        memory[0] = HostMemory(64 << 30, 100 << 20)
        (last,) = events
    assert isinstance(last, Failed) and last.exit_code == 3 and "memory ran short" in last.message


def test_a_child_that_scores_is_left_to_end_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer_process, "_INTERRUPT_SECONDS", 0.0)
    (plan,) = (e for e in opening(save_run("8")) if isinstance(e, Planned))
    planned = dataclasses.replace(plan, done={"8": 1}).to_line()
    quick = child(
        "import signal, threading\n"
        "asked = threading.Event()\n"
        "signal.signal(signal.SIGINT, lambda *_: asked.set())\n"
        f"sys.stdout.write({planned!r}); sys.stdout.flush()\n"
        "asked.wait(); time.sleep(0.6)\n"
        f"sys.stdout.write({Failed('Interrupted', 'stopped', '', 130).to_line()!r})\n"
        "sys.stdout.flush(); os._exit(130)\n"
    )
    with ScorerProcess(None, command=quick) as process:
        events = process.events()
        assert isinstance(next(events), Planned)
        process.interrupt()
        (last,) = events
        assert isinstance(last, Failed) and last.exit_code == 130 and not process.killed


@piloted
async def test_a_flood_waits_in_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_worker, "_MOST_LINES", 100)
    flood = child("while True: os.write(1, b'{}\\n' * 1000)")
    scorer = RunningScorer(None, command=flood)
    most = 0
    try:
        # Nobody takes the lines: after a moment no more come.
        for _ in range(20):
            time.sleep(0.02)
            most = max(most, len(scorer._lines))
    finally:
        scorer.kill()
    assert 0 < most <= 100
    assert await scorer.gone(DEADLINE)
    assert threading.active_count() < 50


@piloted
async def test_the_app_ends_a_run_whose_report_cannot_be_read(tmp_path: Path) -> None:
    run = save_run("8,4", job={"kernel": "mlx-lm"})
    events = [*recording(run)[:-1], Finished({"settings": "none"})]
    file = script(tmp_path / "s", events, "!exit 0")
    async with running(CHOICES, script=file) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: app.comparison.phase == "failed", "failed")
        assert app.comparison.failure is not None
        assert "report of the scorer cannot be read" in app.comparison.failure.message
        await until(pilot, lambda: type(app.screen).__name__ == "FaultScreen", "the fault")


@piloted
async def test_the_app_ends_a_run_whose_events_make_no_sense(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(SettingResult, "add", refuses)
    run = save_run("8,4", job={"kernel": "mlx-lm"})
    file = script(tmp_path / "s", recording(run)[:-1], "!hang")
    async with running(CHOICES, script=file) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: type(app.screen).__name__ == "FaultScreen", "the fault")
        assert app.comparison.phase == "failed" and app.comparison.failure is not None
        assert "`chunk` that makes no sense" in app.comparison.failure.message
