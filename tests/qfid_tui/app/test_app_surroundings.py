"""The app where a terminal cannot be painted, threads are few, or no home folder is known."""

from __future__ import annotations

import os
import pwd
import sys
import threading

import pytest
from app_pilot import piloted, running, screen_text, until

from qfid_tui.app.app import QfidApp
from qfid_tui.app.run_app import run_app
from scorer.common.errors import InputError


class Terminal:
    """Standard input or output that is a terminal."""

    def isatty(self) -> bool:
        return True


def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give a terminal; the list holds what was run in it. No fixture: pytest captures anew."""
    for name in ("stdin", "stdout"):
        monkeypatch.setattr(sys, name, Terminal())
    monkeypatch.setenv("TERM", "xterm")
    ran: list[str] = []
    monkeypatch.setattr(QfidApp, "run", lambda app: ran.append("app") or 0)
    return ran


def test_it_opens_in_a_terminal_that_can_be_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = at_a_terminal(monkeypatch)
    assert run_app(None) == 0 and ran == ["app"]


def test_a_terminal_that_cannot_be_painted_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran = at_a_terminal(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    with pytest.raises(InputError, match="TERM is `dumb`") as caught:
        run_app(None)
    assert "`qfid kv MODEL`" in caught.value.hint and ran == []


def test_too_few_threads_are_said_before_the_terminal_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran = at_a_terminal(monkeypatch)

    def refuses(*arguments: object) -> int:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch, pytest.raises(InputError, match="0 more threads"):
        patch.setattr(threading, "_start_new_thread", refuses)
        run_app(None)
    assert ran == []


@piloted
async def test_without_a_home_folder_the_demo_is_offered_and_the_list_of_runs_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(uid: int) -> object:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in [*os.environ]:
        if name in ("HOME", "QFID_DATA_DIR") or name.startswith(("HF_H", "XDG_")):
            monkeypatch.delenv(name)
    # Ready: the models are read although no folder of them is known.
    async with running(size=(140, 45)) as (app, pilot):
        assert app.workbench.state.scorable_models == 1
        await pilot.press("t")
        await until(pilot, lambda: app.screen is not app.workbench, "the list of runs")
        await until(pilot, lambda: "no home folder" in screen_text(app), "why there is none")
