"""Notices leave the table, its verdicts and the recommendation readable."""

from __future__ import annotations

import pytest
from app_pilot import compare, demo_choices, piloted, running, screen_text
from textual.widgets._toast import Toast
from workbench_states import scored

from qfid_tui.app.widgets.run_panel import wrapped

LONG = (
    "setting k8v4 failed: drift is exactly zero in every position of the first chunk, which no "
    "quantizer can reach; pick another group size with o, or another setting with space"
)


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (140, 45)])
@piloted
async def test_a_notice_covers_no_verdict_and_no_recommendation(size: tuple[int, int]) -> None:
    async with running(demo_choices(), size=size) as (app, pilot):
        comparison = scored(chunks=4)
        comparison.end(by_user=True)
        compare(app, comparison)
        await pilot.pause()
        before = screen_text(app).splitlines()
        app.workbench.tell(LONG, "error")
        await pilot.pause()
        [toast] = app.screen.query(Toast)
        table, panel = app.workbench.table.region, app.workbench.body.run_panel.region
        assert toast.region.y >= panel.bottom > table.bottom
        after = screen_text(app).splitlines()
        assert after[: panel.bottom] == before[: panel.bottom]
        # All of it is shown, and the keys below it too.
        said = " ".join(" ".join(after[toast.region.y : toast.region.bottom]).split())
        assert all(word in said for word in LONG.split())
        assert "? help" in after[-1]


@piloted
async def test_no_key_does_anything_while_the_app_is_being_left() -> None:
    async with running(demo_choices()) as (app, pilot):
        app._leaving = True
        await pilot.press("t")
        await pilot.pause()
        assert app.screen is app.workbench


def test_lines_of_the_run_panel_break_at_blanks_and_keep_their_styles() -> None:
    line = [("cheapest good setting: ", "text"), ("k8v4?", "good"), (" (53 % of it)", "muted")]
    assert wrapped(line, 80) == [line]
    broken = wrapped(line, 20)
    assert ["".join(text for text, _ in part).rstrip() for part in broken] == [
        "cheapest good",
        "setting: k8v4? (53 %",
        "of it)",
    ]
    assert ("k8v4?", "good") in broken[1]
