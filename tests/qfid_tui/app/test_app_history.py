"""The list of earlier runs: filter, open, go on, export, delete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cli_saved_runs import save_run
from later_positions import rewrite
from side_screen_app import Below, drive, text_of, until
from textual.pilot import Pilot
from textual.widgets import Input

from qfid_tui.app.screens.confirm import ConfirmScreen
from qfid_tui.app.screens.export import ExportScreen
from qfid_tui.app.screens.help import HelpScreen
from qfid_tui.app.screens.history import HistoryChoice, HistoryScreen
from qfid_tui.app.widgets.key_bar import KeyBar
from qfid_tui.app.widgets.run_table import RunTable
from scorer.runs import listing as runs
from scorer.runs.run import Run

OTHER = {"model": "local-test/Other-4bit"}


def rows(app: Below) -> list[list[str]]:
    table = app.screen.query_one(RunTable)
    return [table.texts(i) for i in range(table.row_count())]


async def filled(app: Below, pilot: Pilot[Any], count: int) -> None:
    def is_so() -> bool:
        screen = app.screen
        return isinstance(screen, HistoryScreen) and screen.is_read and len(rows(app)) == count

    await until(pilot, is_so)


async def put_cursor(app: Below, pilot: Pilot[Any], run: Run | str) -> None:
    wanted = run if isinstance(run, str) else run.id
    screen = app.screen
    assert isinstance(screen, HistoryScreen)
    for _ in range(len(rows(app))):
        if screen.run is not None and screen.run.id == wanted:
            break
        await pilot.press("j")
    # What is told of it is read meanwhile.
    await until(pilot, lambda: wanted in text_of(app, "#run-about"))


def three() -> tuple[Run, Run, Run]:
    """Of the demo a whole and an unfinished run, of another model one."""
    return save_run(), save_run("8", chunks=2, finished=False), save_run(job=OTHER)


def test_runs_of_the_model_then_of_all() -> None:
    _, part, _ = three()

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await filled(app, pilot, 2)
        assert text_of(app, "#runs-title") == "Earlier runs of demo · 2"
        assert {(row[2], row[3]) for row in rows(app)} == {("✓ all 8", "8"), ("… 50 %", "—")}
        await put_cursor(app, pilot, part)
        assert "… unfinished · 2 of 4 chunks" in text_of(app, "#run-about")
        await pilot.press("a")
        await filled(app, pilot, 3)
        assert text_of(app, "#runs-title") == "Earlier runs of all models · 3"
        assert part.id in text_of(app, "#run-about"), "the cursor stays on its run"
        assert {row[7] for row in rows(app)} == {"demo", "loca…/Other-4bit"}
        await pilot.press("a")
        await filled(app, pilot, 2)

    drive(HistoryScreen("demo"), steps)


@pytest.mark.parametrize("key", ["enter", "click"])
def test_a_run_is_opened(key: str) -> None:
    whole, _, _ = three()

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await filled(app, pilot, 2)
        await put_cursor(app, pilot, whole)
        if key == "click":
            await pilot.click(RunTable, offset=(30, app.screen.query_one(RunTable).cursor + 1))
        else:
            await pilot.press(key)
        await until(pilot, lambda: app.done)

    assert drive(HistoryScreen("demo"), steps).result == HistoryChoice(whole.id, "open")


def test_a_first_click_only_moves_the_cursor() -> None:
    three()

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await filled(app, pilot, 3)
        await pilot.click(RunTable, offset=(3, 3))
        await until(pilot, lambda: app.screen.query_one(RunTable).cursor == 2)
        assert not app.done

    drive(HistoryScreen(None), steps)


def test_only_what_lacks_something_goes_on() -> None:
    whole, part, _ = three()

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await filled(app, pilot, 2)
        await put_cursor(app, pilot, whole)
        await pilot.press("g")
        assert not app.done
        await pilot.press("home")
        await put_cursor(app, pilot, part)
        await pilot.press("g")
        await until(pilot, lambda: app.done)

    assert drive(HistoryScreen("demo"), steps).result == HistoryChoice(part.id, "resume")


def test_a_finished_run_with_a_failed_setting_goes_on_too() -> None:
    run = save_run()
    run.mark_failed("4", "SettingFailed", "not finite")

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await filled(app, pilot, 1)
        assert "failed: 4" in text_of(app, "#run-about")
        await pilot.press("g")
        await until(pilot, lambda: app.done)

    assert drive(HistoryScreen("demo"), steps).result == HistoryChoice(run.id, "resume")


@pytest.mark.parametrize(("answer", "left"), [("y", 1), ("n", 2)])
def test_deleting_is_asked(answer: str, left: int) -> None:
    whole, part, _ = three()

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await filled(app, pilot, 2)
        await put_cursor(app, pilot, part)
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        question = text_of(app, "#question")
        assert f"Delete run {part.id}, " in question and "KiB?" in question
        assert "Its 2 scored chunks and what is reported of them are lost for good." in question
        assert "workbench" not in question
        assert part.path.exists()
        await pilot.press(answer)
        await filled(app, pilot, left)

    drive(HistoryScreen("demo"), steps)
    assert part.path.exists() is (answer == "n") and whole.path.exists()


def test_a_run_that_is_written_to_is_neither_deleted_nor_gone_on_with() -> None:
    run = save_run(chunks=1, finished=False)

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await filled(app, pilot, 1)
        assert rows(app)[0][2] == "▸ 25 %"
        notes: list[str] = []
        app.screen.notify = lambda text, **_: notes.append(text)  # type: ignore[method-assign]
        await pilot.press("d", "g")
        assert isinstance(app.screen, HistoryScreen) and not app.done
        assert notes == [
            "This run is being scored: stop it before it is deleted",
            "This run is being scored",
        ]

    with run.open_writer():
        drive(HistoryScreen(None), steps)
    assert run.path.exists()


def test_a_run_that_went_away_meanwhile_is_one_message() -> None:
    run = save_run()
    notes: list[str] = []

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        app.notify = lambda text, **_: notes.append(text)  # type: ignore[method-assign]
        await filled(app, pilot, 1)
        await pilot.press("delete")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        run.delete()
        await pilot.press("y")
        await until(pilot, lambda: isinstance(app.screen, HistoryScreen) and not rows(app))

    drive(HistoryScreen("demo"), steps)
    assert len(notes) == 1 and f"there is no run `{run.id}`" in notes[0]


def test_an_unusable_run_is_named_with_why_and_left_alone() -> None:
    broken = runs.runs_folder() / "20200101-000000-\x1b[31m[red]broken"
    broken.mkdir(parents=True)

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await filled(app, pilot, 1)
        assert rows(app)[0][1:3] == ["2020-01-01 00:00", "✗ unusable"]
        about = text_of(app, "#run-about")
        assert "is missing" in about and "␛[31m[red]broken" in about and str(broken.parent) in about
        await pilot.press("enter", "g", "d", "e")
        assert isinstance(app.screen, HistoryScreen) and not app.done

    drive(HistoryScreen(None), steps, size=(140, 45))
    assert broken.is_dir()


def test_a_filter_keeps_what_holds_all_words() -> None:
    _, part, _ = three()

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await filled(app, pilot, 3)
        assert not isinstance(app.focused, Input)
        await pilot.press("slash")
        app.screen.query_one(Input).value = "Demo unfin"
        await filled(app, pilot, 1)
        assert text_of(app, "#runs-title") == "Earlier runs of all models · 3, 1 shown"
        await pilot.press("enter")
        assert app.focused is app.screen.query_one(RunTable)
        await until(pilot, lambda: part.id in text_of(app, "#run-about"))
        await pilot.press("slash", *" no")
        await filled(app, pilot, 0)
        assert "No run holds Demo unfin no." in text_of(app, "#empty")
        await pilot.press("escape")
        await filled(app, pilot, 3)
        assert not app.done
        await pilot.press("escape")
        await until(pilot, lambda: app.done)

    assert drive(HistoryScreen(None), steps).result is None


def test_a_run_is_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = save_run()

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await filled(app, pilot, 1)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, ExportScreen))
        await until(pilot, lambda: "reading" not in text_of(app, "#file"))
        await pilot.press("enter")
        await until(pilot, lambda: "✓ written" in text_of(app, "#messages"))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HistoryScreen))

    drive(HistoryScreen("demo"), steps)
    (path,) = tmp_path.iterdir()
    assert path.read_bytes() == (run.path / "report.md").read_bytes()


@pytest.mark.parametrize(
    ("model", "words"),
    [(None, "No run is saved yet."), ("local-test/None", "No run is saved yet.")],
)
def test_without_runs_it_says_what_to_do(model: str | None, words: str) -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: words in text_of(app, "#empty"))
        await pilot.press("enter", "g", "d", "e")
        assert not app.done

    drive(HistoryScreen(model), steps)


def test_without_runs_of_the_model_it_says_how_to_see_others() -> None:
    save_run()

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: "a shows those of all models" in text_of(app, "#empty"))
        await pilot.press("a")
        await filled(app, pilot, 1)

    drive(HistoryScreen("local-test/None"), steps)


def test_a_folder_that_cannot_be_read_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").touch()
    monkeypatch.setenv("QFID_DATA_DIR", str(tmp_path))

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: "cannot be used" in text_of(app, "#empty"))
        assert "→ set QFID_DATA_DIR" in text_of(app, "#empty")

    drive(HistoryScreen(None), steps)


def test_help_lists_its_keys() -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        keys = {key.keys: key.what for key in app.screen.keys}  # type: ignore[attr-defined]
        assert keys["d del"] == "Delete this run" and keys["q ^q"] == "Leave"

    drive(HistoryScreen("demo"), steps)


def test_resizing_leaves_it_alive_and_the_footer_fits() -> None:
    three()

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await filled(app, pilot, 2)
        shown = [verb for _, _, verb, _ in app.screen.query_one(KeyBar).shown()]
        assert shown[:5] == ["help", "open", "mark", "close", "delete"] and len(shown) > 6
        for width, height in ((5, 3), (30, 8), (140, 45), (200, 60), (80, 24)):
            await pilot.resize_terminal(width, height)
            await filled(app, pilot, 2)
            table = app.screen.query_one(RunTable)
            if width >= 80:
                await until(pilot, lambda: 0 < table.virtual_size.width <= table.size.width)  # noqa: B023

    drive(HistoryScreen("demo"), steps)


def test_a_run_of_a_later_version_says_why_it_only_can_be_looked_at() -> None:
    more, other = save_run("8", chunks=2, finished=False), save_run("4", finished=False)
    kept = [
        rewrite(more.positions_path, column="entropy"),
        rewrite(other.positions_path, version="2"),
    ]

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await filled(app, pilot, 2)
        await put_cursor(app, pilot, more)
        assert "read-only, its positions file: it has a column more" in text_of(app, "#run-about")
        assert app.screen.check_action("open", ()) and not app.screen.check_action("resume", ())
        await put_cursor(app, pilot, other)
        assert "version `2`, not `1`" in text_of(app, "#run-about")
        assert not app.screen.check_action("open", ())

    drive(HistoryScreen(None), steps)
    assert [run.positions_path.read_bytes() for run in (more, other)] == kept
