"""The history reads what is looked at, shows results, and compares marked runs."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from cli_saved_runs import save_run
from side_screen_app import Below, drive, text_of, until
from textual.pilot import Pilot
from textual.widgets import Input

from qfid_tui.app import history_reader
from qfid_tui.app.screens.compared_runs import ComparedRunsScreen
from qfid_tui.app.screens.history import HistoryScreen
from qfid_tui.app.widgets.run_table import RunTable
from qfid_tui.state import run_list
from scorer.report.formats.inline import digits
from scorer.runs import listing
from scorer.runs.run import Run

OTHER = {"model": "local-test/Other-4bit"}


def copies(run: Run, count: int) -> None:
    """More runs, older than the one they are copied from."""
    for i in range(count):
        shutil.copytree(run.path, run.path.with_name(f"20200101-{i:06}-demo-{i:04x}"))


async def at_rest(app: Below, pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: isinstance(app.screen, HistoryScreen) and app.screen.is_read)


def row(app: Below, index: int) -> list[str]:
    return app.screen.query_one(RunTable).texts(index)


@pytest.mark.parametrize("size", [(80, 24), (140, 45)])
def test_kl_flips_and_verdict_of_the_best_setting_are_in_the_row(size: tuple[int, int]) -> None:
    report = save_run().report()
    assert report is not None
    eight, four = (digits(row["kl"]["mean"], significant=3) for row in report["settings"])

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await at_rest(app, pilot)
        table = app.screen.query_one(RunTable)
        named = dict(zip(table.heads, row(app, 0), strict=True))
        assert (named["best"], named["KL, nats"], named["flips"]) == ("8", eight, "0 %")
        assert named["verdict"] == "good?"
        assert named.get("others", "4 bad?") == "4 bad?"
        about = text_of(app, "#run-about")
        assert f"8: KL {eight}, flips 0 %, good? · 4: KL {four}, flips 0 %, bad?" in about

    drive(HistoryScreen("demo"), steps, size=size)


def test_only_runs_near_the_screen_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    copies(save_run(), 60)
    monkeypatch.setattr(history_reader, "_PART", 10)
    monkeypatch.setattr(run_list, "_SECONDS", 0)
    seen: list[str] = []
    results: list[str] = []
    read_info, read_outcomes = listing._info, run_list.read_outcomes

    def info(path: Any) -> Any:
        seen.append(path.name)
        return read_info(path)

    def outcomes(index: Any, runs: Any) -> Any:
        listed = [*runs]
        results.extend(run.info.id for run in listed)
        # Looked at once more: their reports are of this moment.
        del seen[len(seen) - len(listed) :]
        return read_outcomes(index, listed)

    monkeypatch.setattr(listing, "_info", info)
    monkeypatch.setattr(run_list, "read_outcomes", outcomes)

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: len(seen) == 40)
        await at_rest(app, pilot)
        assert len(seen) == 40 and len(results) < 20
        assert text_of(app, "#runs-title") == "Earlier runs of demo · 40 of 61 read"
        await pilot.press("pagedown", "pagedown")
        await until(pilot, lambda: len(seen) in (50, 60))
        await at_rest(app, pilot)
        assert row(app, app.screen.query_one(RunTable).cursor)[3] == "8"
        await pilot.press("end")
        await until(pilot, lambda: app.screen.query_one(RunTable).cursor == 60)
        await at_rest(app, pilot)
        assert text_of(app, "#runs-title") == "Earlier runs of demo · 61"
        assert len(seen) == len(set(seen)) == 61
        assert "20200101-000000-demo-0000" in text_of(app, "#run-about")

    drive(HistoryScreen("demo"), steps)


def test_runs_that_their_names_give_to_other_models_are_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine, other = save_run(), save_run(job=OTHER)
    renamed = other.path.with_name("a name of mine")
    shutil.copytree(mine.path, renamed)
    seen: list[str] = []
    read = listing._info

    def info(path: Any) -> Any:
        seen.append(path.name)
        return read(path)

    monkeypatch.setattr(listing, "_info", info)

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await at_rest(app, pilot)
        assert text_of(app, "#runs-title") == "Earlier runs of demo · 2"

    drive(HistoryScreen("demo"), steps)
    assert set(seen) == {mine.id, renamed.name}


def test_a_filter_reads_on_until_enough_runs_match() -> None:
    copies(save_run(), 50)

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await at_rest(app, pilot)
        await pilot.press("slash")
        app.screen.query_one(Input).value = "demo-0001"
        await until(pilot, lambda: app.screen.query_one(RunTable).row_count() == 1)
        await until(pilot, lambda: "51, 1 shown" in text_of(app, "#runs-title"))

    drive(HistoryScreen("demo"), steps)


def test_marked_runs_are_compared_and_keep_their_marks() -> None:
    first, other = save_run(), save_run(job=OTHER)

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await at_rest(app, pilot)
        notes: list[str] = []
        app.screen.notify = lambda text, **_: notes.append(text)  # type: ignore[method-assign]
        await pilot.press("space", "c")
        assert isinstance(app.screen, HistoryScreen) and "Mark two runs or more" in notes[0]
        assert row(app, 0)[0] == " ●"
        await pilot.press("down", "space")
        assert text_of(app, "#runs-title") == "Earlier runs of all models · 2 · 2 marked"
        await pilot.press("c")
        await until(
            pilot, lambda: isinstance(app.screen, ComparedRunsScreen) and app.screen.is_read
        )
        said = text_of(app, "#compared")
        assert "demo · " in said and "local-test/Other-4bit · " in said
        await pilot.press("escape")
        await at_rest(app, pilot)
        assert text_of(app, "#runs-title").endswith("2 marked")
        await pilot.press("space")
        assert text_of(app, "#runs-title").endswith("1 marked")

    drive(HistoryScreen(None), steps)
    assert first.path.exists() and other.path.exists()


def test_the_question_says_that_the_run_is_on_the_workbench() -> None:
    run = save_run()

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await at_rest(app, pilot)
        await pilot.press("d")
        await until(pilot, lambda: bool(app.screen.query("#question")))
        assert "the run on the workbench, which is emptied" in text_of(app, "#question")

    drive(HistoryScreen("demo", run.id), steps)


def test_columns_without_room_are_shown_on_request() -> None:
    save_run()

    def head(app: Below) -> str:
        return app.screen.query_one(RunTable).render_line(0).text

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await at_rest(app, pilot)
        assert "scored" in head(app) and "verdict" not in head(app)
        await pilot.press(*["right"] * 40)
        assert "verdict" in head(app) and "scored" not in head(app)
        await pilot.press(*["left"] * 40)
        assert "when" in head(app)
        await pilot.resize_terminal(100, 24)
        await until(pilot, lambda: "verdict" in head(app))

    drive(HistoryScreen("demo"), steps, size=(36, 24))
