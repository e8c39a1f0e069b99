"""The app in a real terminal: what it draws on, and what hostile bytes do to it."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from deadline import DEADLINE

from qfid_tui.app.terminal.driver import escape_delay
from qfid_tui.tools.pseudo_terminal import TerminalProcess

CALL = "import sys; from qfid_tui.cli import main; sys.exit(main())"
APP = (sys.executable, "-P", "-c", CALL, "demo")
FAILING = (
    "import sys\n"
    "from qfid_tui.app.screens.workbench import WorkbenchScreen\n"
    "from qfid_tui.cli import main\n"
    "{how}\n"
    "sys.exit(main(['demo']))\n"
)
HOSTILE = (
    b"\xff\xfe\xc3",
    b"\x1b[?62;22c",
    b"\x1b]11;rgb:ffff/ffff/ffff\x1b\\",
    b"\x1bP>|terminal(379)\x1b\\",
    b"\x1b[<0;NaN;5M",
    b"\x1b[114:82;1:3u",
    b"\x1b[M \xff\xfe",
    b"\x1b]11;rgb:f",
)


def quits(app: TerminalProcess, code: int = 0) -> None:
    app.write(b"\x1b[113u")
    assert app.wait(DEADLINE) == code


def test_hostile_bytes_press_nothing_and_end_nothing() -> None:
    env = {"QFID_SCORER": "false"}
    with TerminalProcess(APP, env=env) as app:
        app.read_until(lambda out: b"Ready" in out, DEADLINE)
        for data in HOSTILE:
            app.write(data)
            app.read(0.05)
        app.write(b"\x1b[111u")
        app.read_until(lambda out: b"group size" in out, DEADLINE)
        quits(app)
    for title in (b"History", b"Keys", b"Add a setting", b"Starting"):
        assert title not in app.output


@pytest.mark.skipif(sys.platform != "linux", reason="the state of a process is read from /proc")
def test_ctrl_z_suspends_it_and_everything_is_painted_again() -> None:
    with TerminalProcess(APP, env={"QFID_SCORER": "false"}) as app:
        app.read_until(lambda out: b"Ready" in out, DEADLINE)
        while app.read(0.7):
            """What is still to be painted would be painted after the pause too."""
        app.write(b"\x1a")
        stat = Path(f"/proc/{app.process.pid}/stat")
        app.read_until(lambda _: stat.read_text().rpartition(")")[2].split()[0] == "T", DEADLINE)
        before = len(app.output)
        app.process.send_signal(signal.SIGCONT)
        words = (b"qfid", b"Settings", b"Ready", b"KL per chunk", b"help")
        app.read_until(lambda out: all(word in out[before:] for word in words), DEADLINE)
        quits(app)


@pytest.mark.parametrize(
    ("redirection", "env"),
    [
        ('2>"$0"', {}),
        ("2>&-", {}),
        ("", {"LC_ALL": "C", "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}),
    ],
    ids=["file", "closed", "latin-1"],
)
def test_it_draws_on_the_terminal_in_utf_8(
    redirection: str, env: dict[str, str], tmp_path: Path
) -> None:
    errors = tmp_path / "errors"
    command = ["sh", "-c", f'exec "$@" {redirection}', str(errors), *APP]
    with TerminalProcess(command, env=env) as app:
        app.read_until(lambda out: b"Settings" in out and "╭".encode() in out, DEADLINE)
        quits(app)
    assert rb"\u256d" not in app.output
    assert not errors.exists() or errors.read_text() == ""


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "</dev/null", ">/dev/null"])
def test_without_a_terminal_it_is_refused(redirection: str) -> None:
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", *APP]
    with TerminalProcess(command) as app:
        assert app.wait(DEADLINE) == 2
        app.read_until(lambda out: b"the app needs a terminal" in out, DEADLINE)


@pytest.mark.parametrize(
    "how",
    [
        "WorkbenchScreen.on_workbench_body_filled = lambda screen: 1 / 0",
        "WorkbenchScreen.on_workbench_body_filled = lambda screen: screen.app.panic('broken')",
    ],
    ids=["exception", "panic"],
)
def test_an_app_that_fails_says_so_and_does_not_exit_with_0(how: str) -> None:
    with TerminalProcess([sys.executable, "-P", "-c", FAILING.format(how=how)]) as app:
        assert app.wait(DEADLINE) == 1
        app.read_until(lambda out: b"qfid: the app has failed; no scored chunk" in out, DEADLINE)


def test_an_escape_key_waits_longer_over_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSH_CONNECTION", "SSH_TTY", "ESCDELAY"):
        monkeypatch.delenv(name, raising=False)
    near = escape_delay()
    monkeypatch.setenv("SSH_TTY", "/dev/pts/0")
    assert escape_delay() > 0.25 > near
    monkeypatch.setenv("ESCDELAY", "100")
    assert escape_delay() == near
