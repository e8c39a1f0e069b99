"""Any text from outside leaves the side screens alive and is drawn as signs, never acted upon."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from inert_screens import all_fragments, assert_inert, nasty
from made_up_run_list import made_up_list
from side_screen_app import Below, until
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Static

from qfid_tui.app.actions import HelpKey
from qfid_tui.app.screens.compared_runs import ComparedRunsScreen
from qfid_tui.app.screens.confirm import ConfirmScreen
from qfid_tui.app.screens.export import ExportScreen
from qfid_tui.app.screens.fault import Fault, FaultScreen
from qfid_tui.app.screens.help import HelpScreen
from qfid_tui.app.screens.history import HistoryScreen
from qfid_tui.state.compared_runs import ComparedRun
from scorer.common.errors import InputError
from scorer.runs.run_info import RunInfo

# Opening a screen takes longer than drawing many texts on it.
TEXTS = 20
EXAMPLES = [3, pytest.param(50, marks=pytest.mark.slow)]


def infos(texts: list[str]) -> list[RunInfo]:
    """A run with the text as its model, its setting and its corpus, and an unusable one."""
    found = []
    for i, text in enumerate(texts):
        run = f"202611{10 + i}-000000-{text}"
        found.append(
            RunInfo(
                run, f"/runs/{run}", "unfinished", "", text, (text,), text, 9, text, 1, 2, (text,)
            )
        )
        found.append(RunInfo(f"b{run}", f"/runs/{run}", "broken", text))
    return found


def screens(texts: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen[Any]]:
    """Each side screen with the texts wherever it takes any."""
    a, b, c, d, *log = texts
    yield ConfirmScreen(a, b, c)
    yield FaultScreen(Fault(a, b, c, tuple(log), 3, 3, d))
    yield HelpScreen([HelpKey(a, b, c), HelpKey(c, d, "")])

    def unreadable(_: str) -> Any:
        raise InputError(a, b)

    monkeypatch.setattr("qfid_tui.app.screens.export.find_run", unreadable)
    yield ExportScreen(a, b, lambda: c)
    job = SimpleNamespace(model=a, settings=[SimpleNamespace(file_name=text) for text in texts])
    monkeypatch.setattr("qfid_tui.app.screens.export.find_run", lambda _: SimpleNamespace(job=job))
    yield ExportScreen(d, c, lambda: b)
    made_up_list(monkeypatch, infos(texts))
    yield HistoryScreen(None)
    monkeypatch.setattr(
        "qfid_tui.state.compared_runs._read",
        lambda i, text: (ComparedRun(text, a, b, c) if i else ComparedRun(text, fault=d), []),
    )
    yield ComparedRunsScreen(texts)


@contextmanager
def one_app() -> Iterator[Any]:
    """An app that lives through all examples; gives what runs a coroutine function in it."""
    loop = asyncio.new_event_loop()
    asked: asyncio.Queue[Any] = asyncio.Queue()

    async def serve() -> None:
        app = Below(lambda _: Screen())
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            await until(pilot, lambda: len(app.screen_stack) > 1)
            while (item := await asked.get()) is not None:
                steps, answer = item
                try:
                    answer.set_result(await steps(app, pilot))
                except BaseException as error:
                    answer.set_exception(error)

    serving = loop.create_task(serve())

    def ask(steps: Any) -> None:
        answer = loop.create_future()
        asked.put_nowait((steps, answer))
        loop.run_until_complete(asyncio.wait({answer, serving}, return_when="FIRST_COMPLETED"))
        assert answer.done(), "the app has ended"
        answer.result()

    try:
        yield ask
    finally:
        asked.put_nowait(None)
        loop.run_until_complete(serving)
        loop.close()


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_text_is_drawn_inert(examples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with one_app() as ask:

        @settings(max_examples=examples, phases=[Phase.explicit, Phase.generate])
        @example(all_fragments(TEXTS))
        @given(st.lists(nasty, min_size=TEXTS, max_size=TEXTS))
        def each(texts: list[str]) -> None:
            async def steps(app: Below, pilot: Pilot[Any]) -> None:
                for screen in screens(texts, monkeypatch):
                    await app.push_screen(screen)
                    if isinstance(screen, HistoryScreen | ComparedRunsScreen):
                        await until(pilot, lambda: screen.is_read)  # noqa: B023
                    if isinstance(screen, ExportScreen):
                        await until(pilot, lambda: screen.is_ready)  # noqa: B023
                        screen.show_message("✓", texts[0], Path(texts[1].replace("\0", "")))
                        await pilot.pause()
                    assert_inert(app)
                    await app.pop_screen()

            ask(steps)

        each()


def test_the_check_sees_what_acts() -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await app.push_screen(Screen())
        await app.screen.mount(Static("a\x1b]0;x\x07", markup=False))
        await pilot.pause()
        with pytest.raises(AssertionError):
            assert_inert(app)

    with one_app() as ask:
        ask(steps)
