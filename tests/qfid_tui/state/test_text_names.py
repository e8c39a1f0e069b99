"""A text has one name on every screen, whatever jobs and reports call it."""

from __future__ import annotations

import pytest
from app_pilot import piloted, screen_text, until
from inspector_pilot import RUN, Inspecting
from token_text_runs import token_run

from qfid_tui.app.screens.detail import DetailScreen
from qfid_tui.state.text_names import text_name
from qfid_tui.words.run_rows import RunFilter, RunRow, all_about
from scorer.runs.listing import list_runs


@pytest.mark.parametrize(
    ("corpus", "name"),
    [
        ("builtin", "built-in text"),
        ("wikitext2", "WikiText-2"),
        ("wikitext-2-raw", "WikiText-2"),
        ("/a/b/notes.md", "notes.md"),
    ],
)
def test_names(corpus: str, name: str) -> None:
    assert text_name(corpus) == name


@piloted
async def test_inspector_and_history_name_the_built_in_text_as_the_workbench_does() -> None:
    token_run("a b c d", "4", name=RUN, corpus={"name": "builtin"})
    [info] = list_runs()
    app = Inspecting()
    async with app.run_test(size=(140, 45)) as pilot:
        await until(pilot, app.ready)
        assert "· built-in text ·" in screen_text(app)  # type: ignore[arg-type]
        await app.push_screen(DetailScreen(RUN, "4"))
        await until(pilot, lambda: "· built-in text" in screen_text(app))  # type: ignore[arg-type]
    assert ("text", text_name(info.corpus)) in all_about(RunRow(info, None, marked=False))
    for words in (text_name(info.corpus), info.corpus):
        assert RunFilter().matching([info], words) == [info]
