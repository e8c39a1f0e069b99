"""The page about the notation names settings that exist, and says what they are."""

from __future__ import annotations

import pytest

from qfid_tui.words.notation import NOTATION, notation_text
from scorer.spec.settings.registry import parse_setting


@pytest.mark.parametrize("written", [written for written, _ in NOTATION])
def test_every_setting_of_the_page_can_be_written(written: str) -> None:
    assert parse_setting(written).key in (written, written.removesuffix("~deployed"))


@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_page_fits_its_width(width: int) -> None:
    text = notation_text(width)
    assert max(map(len, text.splitlines())) <= width
    assert all(written in text for written, _ in NOTATION)
