"""The panel after a run that ended otherwise than it should have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from side_screen_app import Below, drive, footer_width, text_of, until
from textual.pilot import Pilot
from textual.widgets import Button

from qfid_tui.app.screens.fault import Fault, FaultScreen

FAULT = Fault(
    title="the scorer was killed",
    message="signal 9 ended it while it scored chunk 12 of 32",
    hint="close other programs [/] or take fewer settings",
    log=tuple(f"line {i} of its log" for i in range(300)),
    scored=1,
    saved=1,
    run="20261124-201425-demo-eaba",
)


def press(*keys: str, fault: Fault = FAULT) -> object:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await pilot.press(*keys)
        await until(pilot, lambda: app.done)

    return drive(FaultScreen(fault), steps).result


def test_it_says_what_happened_what_is_saved_and_the_last_words() -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        said = [str(static.content) for static in app.screen.query("#what Static")]  # type: ignore[attr-defined]
        assert said == [FAULT.message, f"→ {FAULT.hint}"]
        assert text_of(app, "#saved") == "✓ 1 scored chunk saved in run 20261124-201425-demo-eaba"
        log = text_of(app, "#log").splitlines()
        assert len(log) == 200 and log[-1] == "line 299 of its log"
        box = app.screen.query_one("#log-box")
        await until(pilot, lambda: box.scroll_offset.y == box.max_scroll_y > 0)
        assert footer_width(app) <= 80

    drive(FaultScreen(FAULT), steps)


@pytest.mark.parametrize(
    ("keys", "result"),
    [(["r"], "resume"), (["enter"], "resume"), (["escape"], None), (["right", "enter"], None)],
)
def test_keys_go_on_or_close(keys: list[str], result: str | None) -> None:
    assert press(*keys) == result


def test_without_a_run_there_is_nothing_to_go_on_with() -> None:
    fault = replace(FAULT, run=None, scored=0, saved=0)

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        assert text_of(app, "#saved") == "Nothing had been scored yet, so nothing is lost."
        await pilot.press("r")
        assert not app.done and len(app.screen.query(Button)) == 1
        await pilot.press("enter")
        await until(pilot, lambda: app.done)

    assert drive(FaultScreen(fault), steps).result is None


@pytest.mark.parametrize(
    ("scored", "saved", "said"),
    [
        (15, 0, "✗ Not saved any more: 15 scored chunks"),
        (15, 3, "✓ 3 of 15 scored chunks saved"),
        # The last events of a process that was killed are lost, and not what it saved.
        (15, 16, "✓ 16 scored chunks saved"),
    ],
)
def test_what_is_no_longer_saved_is_not_called_saved(scored: int, saved: int, said: str) -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        assert text_of(app, "#saved") == said

    drive(FaultScreen(replace(FAULT, run=None, scored=scored, saved=saved)), steps)


@pytest.mark.parametrize(("button", "result"), [("#resume", "resume"), ("#close", None)])
def test_the_mouse_goes_on_or_closes(button: str, result: str | None) -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await pilot.click(button)
        await until(pilot, lambda: app.done)

    assert drive(FaultScreen(FAULT), steps).result == result


def test_the_log_scrolls() -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        box = app.screen.query_one("#log-box")
        await until(pilot, lambda: box.scroll_offset.y == box.max_scroll_y > 0)
        for back, forth in (("k", "j"), ("up", "down"), ("pageup", "pagedown")):
            await pilot.press(back)
            await until(pilot, lambda: box.scroll_offset.y < box.max_scroll_y)
            await pilot.press(forth)
            await until(pilot, lambda: box.scroll_offset.y == box.max_scroll_y)

    drive(FaultScreen(FAULT), steps)


def test_the_whole_fault_is_copied() -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await pilot.press("c")
        await until(pilot, lambda: bool(app.copied))

    (text,) = drive(FaultScreen(FAULT), steps).copied
    assert text.startswith(f"{FAULT.title}\n{FAULT.message}\n{FAULT.hint}\n")
    assert text.endswith("line 299 of its log\n") and "line 0 of its log" in text


@pytest.mark.parametrize("size", [(80, 24), (140, 45), (40, 10)])
def test_a_very_long_fault_leaves_the_buttons_on_screen(size: tuple[int, int]) -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        for button in app.screen.query(Button):
            assert app.screen.region.contains_region(button.region), button

    long = replace(FAULT, message="m" * 10_000, hint="h " * 10_000, log=("l" * 10_000,) * 9)
    drive(FaultScreen(long), steps, size=size)
