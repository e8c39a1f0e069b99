"""What is said beside the main thing is fainter than it, in every theme."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from app_pilot import piloted
from textual.app import App, ComposeResult
from textual.color import Color
from textual.content import Content
from textual.widgets import Static

from qfid_tui.app.screens import detail
from qfid_tui.app.shown_text import TONES
from qfid_tui.app.widgets import lines_panel


class Shown(App[None]):
    def __init__(self, styles: Mapping[str, str]) -> None:
        super().__init__()
        self._styles = styles

    def compose(self) -> ComposeResult:
        plain = self._styles.get("plain") or self._styles["text"]
        yield Static(Content.assemble(("plain", plain), ("muted", self._styles["muted"])))


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light"])
@pytest.mark.parametrize("styles", [TONES, detail._STYLES, lines_panel._STYLES])
@piloted
async def test_muted_text_is_nearer_to_its_background(
    styles: Mapping[str, str], theme: str
) -> None:
    app = Shown(styles)
    async with app.run_test(size=(20, 3)) as pilot:
        app.theme = theme
        await pilot.pause()
        contrast = {}
        for segment in app.screen.query_one(Static).render_line(0):
            if segment.text.strip():
                assert segment.style is not None
                assert segment.style.color is not None and segment.style.bgcolor is not None
                colour = Color.from_rich_color(segment.style.color)
                behind = Color.from_rich_color(segment.style.bgcolor)
                contrast[segment.text] = abs(colour.brightness - behind.brightness)
        assert 0.3 < contrast["muted"] < contrast["plain"] - 0.1
