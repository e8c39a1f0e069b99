"""Pictures fetch nothing, stay valid, and lose no text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from app_pilot import SIZES, demo_choices, piloted, running
from project import ROOT

from qfid_tui.app.screen_svg import self_contained

PICTURES = ROOT / "screenshots"
SVG = "{http://www.w3.org/2000/svg}"


def words(svg: str) -> str:
    root = ElementTree.fromstring(svg)
    return "".join("".join(text.itertext()).strip("\n") for text in root.iter(f"{SVG}text"))


@pytest.mark.parametrize("size", SIZES)
@piloted
async def test_a_picture_fetches_nothing_and_says_all(size: tuple[int, int]) -> None:
    async with running(demo_choices(), size=size) as (app, _):
        before = app.export_screenshot()
    after = self_contained(before)
    assert "@font-face" in before and "@font-face" not in after and "url(http" not in after
    assert words(after) == words(before)
    assert len(after) < 0.75 * len(before)
    ids = set(re.findall(r'id="([^"]+)"', after))
    assert set(re.findall(r"url\(#([^)]+)\)", after)) <= ids


@pytest.mark.parametrize("path", sorted(PICTURES.glob("*.svg")), ids=lambda path: path.stem)
def test_committed_pictures_are_small_valid_and_self_contained(path: Path) -> None:
    svg = path.read_text("utf-8")
    assert path.stat().st_size < 125_000
    assert set(re.findall(r"https?://[^\s\"'<)]+", svg)) <= {
        "http://www.w3.org/2000/svg",
        "https://www.textualize.io",
    }
    assert "qfid" in words(svg)
