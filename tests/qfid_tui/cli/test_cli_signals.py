"""Ctrl-C, ends from outside and readers that leave, on a command line in a process of its own."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_saved_runs import (
    chunk_events,
    is_gone,
    opening,
    read_until,
    recording,
    report_of,
    save_run,
    script,
    started,
)
from project import ROOT

from scorer.common.interrupts import SAME_PRESS_SECONDS
from scorer.runs.listing import Run
from scorer.spec.events import Event, Failed, Finished

SIGNAL_ENDS = [signal.SIGTERM, signal.SIGHUP]


def working(run: Run, chunks: int = 1) -> list[Event]:
    return [*opening(run), *chunk_events(run, chunks)]


def child_of(path: Path) -> int:
    return int(path.with_suffix(".pid").read_text())


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@contextmanager
def ends_soon(pid: int) -> Iterator[None]:
    """Wait, after the block, until a process that is not our own child has ended."""
    if not hasattr(os, "pidfd_open"):
        pytest.skip("only Linux lets a process wait for one that is not its own")
    descriptor = os.pidfd_open(pid)
    try:
        yield
        readable, _, _ = select.select([descriptor], [], [], 30)
        assert readable, "the child lives on"
    finally:
        os.close(descriptor)


def test_ctrl_c_once_prints_the_partial_report_and_the_way_on(tmp_path: Path) -> None:
    run = save_run(chunks=1)
    end = Finished(report_of(run), complete=False)
    path = script(tmp_path / "s", working(run), "!wait", end, "!exit 130")
    with started(path, "kv", "demo") as process:
        read_until(process, "1 of 4 chunks scored")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert "this report covers 1 of 4 chunks" in out
    assert err.splitlines() == [
        "stopping after this step, then reporting; Ctrl-C again stops at once",
        "interrupted: this report is about 1 of 4 chunks",
        f"`qfid resume {run.id}` scores the rest",
    ]


def test_ctrl_c_twice_stops_at_once_and_leaves_a_run_to_resume(tmp_path: Path) -> None:
    run = save_run(chunks=1, finished=False)
    path = script(tmp_path / "s", "!deaf", working(run), "!hang")
    with started(path, "kv", "demo") as process:
        read_until(process, "1 of 4 chunks scored")
        process.send_signal(signal.SIGINT)
        read_until(process, "Ctrl-C again stops at once")
        # Within 200 ms of the first they would count as one.
        time.sleep(1.5 * SAME_PRESS_SECONDS)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert err == f"stopped at once\n`qfid resume {run.id}` scores the rest\n"
    assert is_gone(child_of(path))


def test_interrupts_of_one_press_count_as_one(tmp_path: Path) -> None:
    run = save_run(chunks=1)
    end = Finished(report_of(run), complete=False)
    path = script(tmp_path / "s", working(run), "!wait", end, "!exit 130")
    with started(path, "kv", "demo") as process:
        read_until(process, "1 of 4 chunks scored")
        for _ in range(3):
            process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert "this report covers 1 of 4 chunks" in out
    assert "stopped at once" not in err


def test_ctrl_c_before_the_first_chunk_reports_nothing(tmp_path: Path) -> None:
    end = Failed("Interrupted", "stopped before the first chunk", "", 130)
    path = script(tmp_path / "s", opening(), "!wait", end)
    with started(path, "kv", "demo") as process:
        read_until(process, "loading demo")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert err.endswith("error: stopped before the first chunk\n")


def test_ctrl_c_after_the_last_chunk_still_gives_the_whole_report(tmp_path: Path) -> None:
    run = save_run()
    end = Finished(report_of(run))
    path = script(tmp_path / "s", working(run, 4), "!wait", end)
    with started(path, "kv", "demo") as process:
        read_until(process, "4 of 4 chunks scored")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate()
    assert process.returncode == 0
    assert out.startswith("# KV-fidelity")


def test_an_interrupted_child_that_dies_of_something_else_is_told(tmp_path: Path) -> None:
    run = save_run(chunks=1, finished=False)
    path = script(tmp_path / "s", working(run), "!wait", "!abort")
    with started(path, "kv", "demo") as process:
        read_until(process, "1 of 4 chunks scored")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 1
    assert "was ended by SIGABRT without a report" in err


@pytest.mark.parametrize("number", SIGNAL_ENDS)
def test_an_end_from_outside_takes_the_child_along(tmp_path: Path, number: int) -> None:
    run = save_run(chunks=1, finished=False)
    path = script(tmp_path / "s", "!deaf", working(run), "!hang")
    with started(path, "kv", "demo") as process:
        read_until(process, "1 of 4 chunks scored")
        with ends_soon(child_of(path)):
            process.send_signal(number)
            out, err = process.communicate()
    assert (process.returncode, out) == (-number, "")
    name = signal.Signals(number).name
    assert err == f"ended by {name}; `qfid resume {run.id}` scores the rest\n"


def test_a_killed_command_line_leaves_no_child(tmp_path: Path) -> None:
    path = script(tmp_path / "s", "!deaf", working(save_run(finished=False)), "!hang")
    with started(path, "kv", "demo") as process:
        read_until(process, "1 of 4 chunks scored")
        with ends_soon(child_of(path)):
            process.kill()
            process.wait()


def test_ignored_signals_stay_ignored(tmp_path: Path) -> None:
    run = save_run(chunks=1)
    path = script(tmp_path / "s", working(run), "!wait", Finished(report_of(run)))

    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with started(path, "kv", "demo", preexec_fn=ignore) as process:
        read_until(process, "1 of 4 chunks scored")
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 0


def test_stopping_the_command_line_stops_the_child(tmp_path: Path) -> None:
    if not Path("/proc/self/stat").exists():
        pytest.skip("needs /proc to see the state of a process")
    run = save_run()
    path = script(tmp_path / "s", working(run), "!wait", Finished(report_of(run)))
    with started(path, "kv", "demo", process_group=0) as process:
        read_until(process, "1 of 4 chunks scored")
        process.send_signal(signal.SIGTSTP)
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        # The signal is sent before ours stops us; the kernel may act on it a moment later.
        while state_of(child_of(path)) != "T":
            assert state_of(child_of(path)) in "RST"
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate()
    assert process.returncode == 0
    assert out.startswith("# KV-fidelity")


@pytest.mark.parametrize("format", ["md", "positions"])
def test_a_reader_that_leaves_is_no_error(tmp_path: Path, format: str) -> None:
    path = script(tmp_path / "s", recording(save_run()))
    reading, writing = os.pipe()
    os.close(reading)
    try:
        with started(path, "kv", "demo", "--format", format, stdout=writing) as process:
            _, err = process.communicate()
    finally:
        os.close(writing)
    assert process.returncode == 0
    assert "4 of 4 chunks scored" in err
    assert "Traceback" not in err and "BrokenPipe" not in err


@pytest.mark.parametrize("words", [["--help"], ["runs", "--format", "json"], ["report", "2"]])
def test_no_command_minds_a_reader_that_leaves(tmp_path: Path, words: list[str]) -> None:
    save_run()
    reading, writing = os.pipe()
    os.close(reading)
    try:
        with started(tmp_path / "s", *words, stdout=writing) as process:
            _, err = process.communicate()
    finally:
        os.close(writing)
    assert (process.returncode, err) == (0, "")


def test_nobody_reading_standard_error_is_no_error(tmp_path: Path) -> None:
    path = script(tmp_path / "s", recording(save_run()))
    reading, writing = os.pipe()
    os.close(reading)
    try:
        with started(path, "kv", "demo", stderr=writing) as process:
            out, _ = process.communicate()
    finally:
        os.close(writing)
    assert process.returncode == 0
    assert out.startswith("# KV-fidelity")


def test_a_full_disk_behind_standard_output_is_one_error(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    path = script(tmp_path / "s", recording(save_run()))
    with Path("/dev/full").open("wb") as full:
        with started(path, "kv", "demo", stdout=full) as process:
            _, err = process.communicate()
    assert process.returncode == 1
    assert err.splitlines()[-2:] == [
        "error: the report cannot be written to standard output: No space left on device",
        "hint: the run is saved; `qfid report` prints it again",
    ]


@pytest.mark.parametrize("command", ["models", "notation", "runs"])
def test_a_full_disk_says_nothing_of_a_run_that_there_is_not(command: str, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    save_run()
    with Path("/dev/full").open("wb") as full:
        with started(tmp_path / "s", command, stdout=full) as process:
            _, err = process.communicate()
    assert process.returncode == 1
    assert err.splitlines() == [
        "error: the output cannot be written to standard output: No space left on device"
    ]


def test_the_report_is_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    path = script(tmp_path / "s", recording(save_run()))
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": os.pathsep.join([str(ROOT)])}
    with started(path, "kv", "demo", env=env, text=False) as process:
        out, _ = process.communicate()
    assert process.returncode == 0
    assert "±" in out.decode("utf-8") or "—" in out.decode("utf-8")
