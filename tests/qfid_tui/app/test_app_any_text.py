"""Whatever a child says and whatever models are called, the workbench lives and draws it inert."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from app_pilot import choose, compare, demo_choices, running
from cli_saved_runs import CHUNKS, chunk_scored
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from inert_screens import all_fragments, assert_inert, nasty
from textual.pilot import Pilot

from qfid_tui.app.app import QfidApp
from qfid_tui.app.run_worker import ChildExit
from qfid_tui.state.comparison import Comparison
from scorer.models.listing import Unscorable
from scorer.spec.events import (
    Event,
    Failed,
    Finished,
    Hello,
    Loading,
    Planned,
    Progress,
    SettingFailedEvent,
    Warned,
    parse_line,
)

Steps = Callable[[QfidApp, Pilot[Any]], Coroutine[Any, Any, None]]
# A whole screen is drawn twice for each: the weekly tests draw more of them.
EXAMPLES = [4, pytest.param(100, marks=pytest.mark.slow)]
texts = st.lists(nasty, min_size=8, max_size=8)
numbers = st.floats() | st.sampled_from([0.0, -1.0, 5e-324, 1e308])


def drive(each: Callable[[Callable[[Steps], None]], None]) -> None:
    """Let a test that is not a coroutine give steps, one after another, to one living app."""
    asked: asyncio.Queue[tuple[Steps, asyncio.Future[None]] | None] = asyncio.Queue()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with running(demo_choices(), size=(140, 45)) as (app, pilot):
            while (item := await asked.get()) is not None:
                steps, answer = item
                try:
                    await steps(app, pilot)
                    answer.set_result(None)
                except BaseException as error:
                    answer.set_exception(error)

    serving = loop.create_task(serve())

    def ask(steps: Steps) -> None:
        answer: asyncio.Future[None] = loop.create_future()
        asked.put_nowait((steps, answer))
        loop.run_until_complete(asyncio.wait({answer, serving}, return_when="FIRST_COMPLETED"))
        assert answer.done(), "the app has ended"
        answer.result()

    try:
        each(ask)
    finally:
        asked.put_nowait(None)
        loop.run_until_complete(serving)
        loop.close()


def said(words: list[str], value: float) -> list[Event]:
    """A run in which every text is one of the words, and every number the value."""
    a, b, c, d, e, *_ = words
    names = ["8", "4", a]
    return [
        Hello(a, b, 16 << 30, 8 << 30, c, {d: e}),
        Loading(a, b),
        Planned(
            run=c,
            run_path=d,
            model=e,
            settings=names,
            chunks=list(range(CHUNKS)),
            done={},
            positions_per_chunk=dict.fromkeys(names, 15),
            kv_bytes_per_token=dict.fromkeys(names, value),
            kv_bytes_per_token_16bit=value,
            batch=1,
            arithmetic=a,
        ),
        Progress(0, b, 1, 3),
        *(chunk_scored(name, chunk, value) for name in names for chunk in (0, 1)),
        Warned(c, d),
        SettingFailedEvent("4", e, a, b),
    ]


async def show(app: QfidApp, pilot: Pilot[Any], words: list[str], events: list[Event]) -> None:
    comparison = Comparison()
    comparison.begin(app.choices.job())
    for event in events:
        # As it comes: through a line of bytes.
        heard = parse_line(event.to_line())
        assert heard is not None
        comparison.add(heard)
    compare(app, comparison)
    await pilot.pause()
    assert_inert(app)  # type: ignore[arg-type]
    comparison.end(by_user=False)
    app.workbench.run_ended(ChildExit(-9, False, tuple(words)))
    await pilot.pause()
    assert_inert(app)  # type: ignore[arg-type]
    while app.screen is not app.workbench:
        app.pop_screen()
    app.clear_notifications()


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_text_and_number_of_a_child_is_drawn_inert(examples: int) -> None:
    def each(ask: Callable[[Steps], None]) -> None:
        @settings(max_examples=examples, phases=[Phase.explicit, Phase.generate])
        @example(all_fragments(8), 0.3, True)
        @example(all_fragments(8, 3), 1e308, False)
        @given(texts, numbers, st.booleans())
        def drawn(words: list[str], value: float, fails: bool) -> None:
            async def steps(app: QfidApp, pilot: Pilot[Any]) -> None:
                a, b, *_, g, h = words
                last = Failed(a, b, g, 1, h, 2) if fails else Finished({"settings": [{a: b}]})
                await show(app, pilot, words, [*said(words, value), last])

            ask(steps)

        drawn()

    drive(each)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_name_of_a_model_or_a_text_is_drawn_inert(examples: int) -> None:
    def each(ask: Callable[[Steps], None]) -> None:
        @settings(max_examples=examples, phases=[Phase.explicit, Phase.generate])
        @example(all_fragments(8))
        @example(all_fragments(8, 3))
        @given(texts)
        def drawn(words: list[str]) -> None:
            async def steps(app: QfidApp, pilot: Pilot[Any]) -> None:
                a, b, c, d, *_ = words
                compare(app, Comparison())
                choose(app, model=a, corpus=b)
                found = [Unscorable(name, reason, 1) for name, reason in ((a, c), (f"o/{b}", d))]
                app.workbench.reader.add_models(found, c)
                app.workbench.action_filter()
                app.workbench.body.filter_field.value = d
                await pilot.pause()
                assert_inert(app)  # type: ignore[arg-type]
                app.workbench.action_back()
                app.workbench.choose_at_cursor()
                await pilot.pause()
                assert_inert(app)  # type: ignore[arg-type]
                app.clear_notifications()

            ask(steps)

        drawn()

    drive(each)
