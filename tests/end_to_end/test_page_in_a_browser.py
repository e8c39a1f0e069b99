"""A report's page in a real browser: in both themes, on a phone, and with hostile tokens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browser import chromium, parsed, picture, width_of_content
from page_markup import checked
from token_text_runs import HALVES, PROSE, token_run
from weights_reports import weights_report

from qfid_tui.cli import main
from scorer.report.formats.html import to_html
from scorer.report.formats.html_style import PAPER

pytestmark = pytest.mark.slow

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(params=["kv", "weights"])
def page(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    chromium()
    path = tmp_path / "page.html"
    if request.param == "weights":
        path.write_text(to_html(weights_report()), "utf-8")
    else:
        run = token_run(PROSE + HALVES + HOSTILE, length=96, model="demo")
        assert main(["report", run.id, "--output", str(path)]) == 0
    return path


@pytest.mark.parametrize("width", [1100, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_page_is_drawn_in_both_themes_and_on_a_phone(
    page: Path, theme: str, width: int, tmp_path: Path
) -> None:
    to = tmp_path / f"{theme}-{width}.png"
    first = picture(page, to, width, 1600, dark=theme == "dark")
    assert "#" + first.hex() == PAPER[theme][0]
    # An empty page is some 10 kB.
    assert to.stat().st_size > 50_000


@pytest.mark.parametrize("width", [320, 390])
def test_a_page_fits_a_phone_without_scrolling_sideways(page: Path, width: int) -> None:
    assert width_of_content(page, width) == width


def test_the_browser_finds_no_more_in_it_than_the_parser(page: Path) -> None:
    text = page.read_text("utf-8")
    shown = parsed(page)
    assert "<title>owned" not in shown
    names = re.compile(r"<([a-zA-Z][a-zA-Z0-9]*)")
    assert {*names.findall(shown)} == {*checked(text).elements}
