"""Painting the workbench reads no file: workers do, in threads of their own."""

from __future__ import annotations

import builtins
import dataclasses
import io
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from app_pilot import piloted, running, screen_text, until
from cli_saved_runs import chunk_scored, opening, save_run
from deadline import DEADLINE

from qfid_tui.state.choices import Choices
from scorer.models.resolve import resolve_model
from scorer.spec.events import Hello

DEVICE = Hello("cpu", "Test CPU", 16 << 30, 8 << 30, "MKL", {})
READS = (
    (builtins, "open"),
    (io, "open"),
    *((os, n) for n in ("stat", "open", "scandir", "listdir")),
)


def watch_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note every file that the thread of the caller opens or looks at from now on."""
    reader = threading.current_thread()
    seen: list[str] = []

    def watched(call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def noted(*args: Any, **options: Any) -> Any:
            if threading.current_thread() is reader:
                seen.append(f"{name} {args[:1]}")
            return call(*args, **options)

        return noted

    for module, name in READS:
        monkeypatch.setattr(module, name, watched(getattr(module, name), name))
    return seen


def test_the_watch_sees_reads_of_its_own_thread_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    info = resolve_model("demo")
    seen = watch_files(monkeypatch)
    thread = threading.Thread(target=info.path.exists)
    thread.start()
    thread.join()
    assert not seen
    assert (info.path / "config.json").read_text() and info.path.is_dir()
    assert len(seen) >= 2


@pytest.mark.parametrize("size", [(80, 24), (140, 45)])
@piloted
async def test_nothing_that_is_painted_comes_from_a_file(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    events = opening(save_run("8,4", finished=False, chunks=0))
    other = dataclasses.replace(resolve_model("demo"), name="org/other", last_used=1.0)
    async with running(Choices(), size=size) as (app, pilot):
        seen = watch_files(monkeypatch)
        app.workbench.device_known(DEVICE)
        app.workbench.reader.add_models([other])
        await pilot.press("home")
        assert app.workbench.picker.model == other
        await pilot.press("enter")
        await until(pilot, lambda: "✓ fits" in screen_text(app), "whether it fits")
        await pilot.press("down", "space", "f", "w", "c", "o", "right", "s")
        assert app.choices.model == "org/other"
        comparison = app.comparison
        comparison.begin(app.choices.job())
        for event in (*events, *(chunk_scored("8", chunk, 0.001) for chunk in range(4))):
            comparison.add(event)
        await until(pilot, lambda: "✓ good" in screen_text(app), "numbers")
        await pilot.resize_terminal(120, 40)
        await pilot.press("z", "z", "m", "slash", "o", "escape", "escape")
        comparison.end(by_user=True)
        await until(pilot, lambda: "4 of 4" in screen_text(app) or "Stopped" in screen_text(app))
        assert app.workbench.check_action("run", ()) is not False
        assert not seen


@piloted
async def test_as_long_as_sizes_are_not_read_nothing_is_said_of_the_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from qfid_tui.state import model_reading

    may_read = threading.Event()
    read_sizes = model_reading.read_sizes

    def slow(info: Any) -> Any:
        assert may_read.wait(DEADLINE)
        return read_sizes(info)

    monkeypatch.setattr(model_reading, "read_sizes", slow)
    async with running(Choices(), size=(140, 45)) as (app, pilot):
        app.workbench.device_known(DEVICE)
        await until(pilot, lambda: "reading the sizes" in screen_text(app), "what is awaited")
        await pilot.press("enter")
        assert "fits" not in screen_text(app)
        may_read.set()
        await until(pilot, lambda: "✓ fits" in screen_text(app), "whether it fits")
