"""The app in a real terminal: however it ends, no process stays and the terminal is sane."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_saved_runs import is_gone, opening
from deadline import DEADLINE
from project import SUPPORT
from terminal_state import INITIAL_MODES, modes_left_on, settings_are_restored

from qfid_tui.tools.pseudo_terminal import TerminalProcess

DEAF = SUPPORT / "hanging_child.py"
APP = (
    sys.executable,
    "-P",
    "-c",
    "import sys; from qfid_tui.cli import main; sys.exit(main())",
)
WORDS = ("demo", "--kv-bits", "8,4", "--chunk-length", "256", "--max-chunks", "500")


def wait_for(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.01)


def pids(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir()]


@contextmanager
def with_hanging_children(folder: Path, *words: str) -> Iterator[TerminalProcess]:
    """The app with a hanging child that was asked for the device, and one that scores."""
    folder.mkdir()
    line = opening()[0].to_line().strip()
    command = shlex.join([sys.executable, str(DEAF), str(folder), line, *words])
    try:
        with TerminalProcess([*APP, *WORDS], env={"QFID_SCORER": command}) as app:
            app.read_until(lambda out: b"Settings" in out and b"Ready" in out, DEADLINE)
            wait_for(lambda: app.read(0.01) or len(pids(folder)) == 1, "the probe")
            app.write(b"r")
            app.read_until(lambda out: len(pids(folder)) == 2 and b"Starting" in out, DEADLINE)
            yield app
    finally:
        for pid in pids(folder):
            if not is_gone(pid):
                os.kill(pid, signal.SIGKILL)


def quit_by_key(app: TerminalProcess) -> None:
    app.write(b"q")
    app.read_until(lambda out: b"Keep running" in out, DEADLINE)
    app.write(b"y")


ENDINGS: dict[str, tuple[Callable[[TerminalProcess], None], int]] = {
    "quit": (quit_by_key, 0),
    "SIGTERM": (lambda app: app.process.send_signal(signal.SIGTERM), 128 + signal.SIGTERM),
    "SIGHUP": (lambda app: app.process.send_signal(signal.SIGHUP), 128 + signal.SIGHUP),
}


# A terminal that closes sends SIGHUP, see below.
@pytest.mark.parametrize(
    "ending", ["quit", "SIGTERM", pytest.param("SIGHUP", marks=pytest.mark.slow)]
)
def test_an_end_takes_hanging_children_along_and_leaves_the_terminal_sane(
    ending: str, tmp_path: Path
) -> None:
    folder = tmp_path / "children"
    with with_hanging_children(folder) as app:
        assert modes_left_on(app.output) > {"1049", "1000", "2004"}
        assert "25" not in modes_left_on(app.output)
        act, code = ENDINGS[ending]
        act(app)
        assert app.wait(DEADLINE) == code
        assert all(map(is_gone, pids(folder)))
        assert modes_left_on(app.output) == INITIAL_MODES
        assert settings_are_restored(app)
        assert b"Traceback" not in app.output


def test_a_closed_terminal_ends_the_app_and_its_hanging_children(tmp_path: Path) -> None:
    folder = tmp_path / "children"
    with with_hanging_children(folder) as app:
        app.hang_up()
        assert app.wait(DEADLINE) == 128 + signal.SIGHUP
        wait_for(lambda: all(map(is_gone, pids(folder))), "the children's end")


def test_children_of_a_killed_app_end_with_their_input(tmp_path: Path) -> None:
    folder = tmp_path / "children"
    with with_hanging_children(folder, "--ends") as app:
        app.process.kill()
        assert app.wait(DEADLINE) == -signal.SIGKILL
        wait_for(lambda: all(map(is_gone, pids(folder))), "the children's end")


def children_of(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(word) for word in (task / "children").read_text().split()]
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel kills orphans on Linux alone")
@pytest.mark.parametrize(
    "ending",
    [
        # These come to the same end as in the tests above, whatever the children are.
        *(pytest.param(name, marks=pytest.mark.slow) for name in ENDINGS),
        pytest.param("closed", marks=pytest.mark.slow),
        "SIGKILL",
    ],
)
def test_the_real_scorer_ends_with_the_app_even_while_it_is_frozen(ending: str) -> None:
    with TerminalProcess([*APP, *WORDS]) as app:
        app.read_until(lambda out: b"Settings" in out, DEADLINE)
        app.write(b"r")
        app.read_until(lambda out: b"Running" in out, DEADLINE)
        children = children_of(app.process.pid)
        assert children
        for child in children:
            os.kill(child, signal.SIGSTOP)
        if ending == "closed":
            app.hang_up()
        elif ending == "SIGKILL":
            app.process.kill()
        else:
            ENDINGS[ending][0](app)
        code = app.wait(DEADLINE)
        wait_for(lambda: all(map(is_gone, children)), "the scorer's end")
        if ending in ENDINGS:
            assert code == ENDINGS[ending][1]
            assert modes_left_on(app.output) == INITIAL_MODES and settings_are_restored(app)


def test_resizing_a_real_terminal_during_a_run_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "children"
    with with_hanging_children(folder) as app:
        for size in ((140, 45), (30, 8), (1, 1), (200, 60), (80, 24)):
            before = len(app.output)
            app.resize(size)
            app.read_until(lambda out, before=before: len(out) > before, DEADLINE)
        app.write(b"x")
        app.read_until(lambda out: b"Stopping" in out, DEADLINE)
        app.write(b"x")
        app.read_until(lambda out: b"Stopped" in out, DEADLINE)
        app.write(b"q")
        assert app.wait(DEADLINE) == 0
        assert modes_left_on(app.output) == INITIAL_MODES
        assert b"Traceback" not in app.output
