"""Exporting from the app: files that equal the command's, the clipboard, what is asked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from cli_saved_runs import save_run
from deadline import DEADLINE
from side_screen_app import Below, drive, footer_width, text_of, until
from textual.pilot import Pilot
from textual.widgets import Button, Input, OptionList

from qfid_tui.app import clipboard
from qfid_tui.app.exported_file import FORMATS, export_name
from qfid_tui.app.screens.confirm import ConfirmScreen
from qfid_tui.app.screens.export import ExportScreen
from qfid_tui.cli import main
from scorer.runs.run import Run

FONTS = "<svg><style>@font-face { src: url('https://x/y.woff2') }</style>the picture</svg>"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A finished run; the current folder is the test's own, and no desktop is there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(clipboard, "native_tools", list)
    return save_run()


def name_of(run: Run, kind: int = 0) -> str:
    settings = [setting.file_name for setting in run.job.settings]
    return export_name(run.id, run.job.model, settings, FORMATS[kind].suffix)


def screen(run: Run | str) -> ExportScreen:
    run_id = run if isinstance(run, str) else run.id
    return ExportScreen(run_id, "demo · 8, 4", lambda: FONTS)


async def ready(app: Below, pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: "reading" not in text_of(app, "#file"))


def told(app: Below) -> str:
    return text_of(app, "#messages") if isinstance(app.screen, ExportScreen) else ""


def printed(run: Run, key: str, capture: pytest.CaptureFixture[bytes]) -> bytes:
    capture.readouterr()
    assert main(["report", run.id, "--format", key]) == 0
    return capture.readouterr().out


@pytest.mark.parametrize("kind", range(len(FORMATS) - 1))
def test_each_format_is_written_as_the_command_prints_it(
    kind: int, run: Run, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await ready(app, pilot)
        assert not isinstance(app.focused, Input)
        await pilot.press(*["j"] * kind, "enter")
        await until(pilot, lambda: "✓ written" in told(app))
        assert str(tmp_path / name_of(run, kind)) in told(app)

    drive(screen(run), steps)
    written = (tmp_path / name_of(run, kind)).read_bytes()
    assert written == printed(run, FORMATS[kind].key, capfdbinary)


def test_a_picture_is_of_the_screen_below_and_fetches_nothing(run: Run, tmp_path: Path) -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await ready(app, pilot)
        await pilot.press("end", "enter")
        await until(pilot, lambda: "✓ written" in told(app))

    drive(lambda app: ExportScreen(run.id, "x", app.export_screenshot), steps)
    svg = (tmp_path / name_of(run, len(FORMATS) - 1)).read_text("utf-8")
    assert "the&#160;screen&#160;behind" in svg and "Export" not in svg
    assert "@font-face" not in svg and "url(http" not in svg
    assert set(re.findall(r"https?://[^\s\"'<)]+", svg)) <= {
        "http://www.w3.org/2000/svg",
        "https://textual.textualize.io",
        "https://www.textualize.io",
    }


@pytest.mark.parametrize(
    ("keys", "replaced"), [(["y"], True), (["n"], False), (["escape"], False), (["enter"], False)]
)
def test_a_file_is_replaced_only_when_that_is_wanted(
    keys: list[str], replaced: bool, run: Run, tmp_path: Path
) -> None:
    (tmp_path / name_of(run)).write_text("mine")

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await ready(app, pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert name_of(run) in text_of(app, "#question").replace("\n", "")
        await pilot.press(*keys)
        await until(pilot, lambda: ("written" if replaced else "kept as it was") in told(app))

    drive(screen(run), steps)
    assert ((tmp_path / name_of(run)).read_text("utf-8") != "mine") is replaced
    assert len([*tmp_path.iterdir()]) == 1


def test_another_folder_is_typed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await ready(app, pilot)
        await pilot.press("f")
        assert app.focused is app.screen.query_one("#folder")
        await pilot.press(*"wrong", "escape")
        assert app.screen.query_one("#folder", Input).value == ""
        assert isinstance(app.focused, OptionList)
        await pilot.press("f", *"deep", "enter")
        await until(pilot, lambda: text_of(app, "#file") == f"deep/{name_of(run)}")
        assert isinstance(app.focused, OptionList) and not [*(tmp_path / "deep").iterdir()]
        await pilot.press("enter")
        await until(pilot, lambda: "✓ written" in told(app))
        assert str(tmp_path / "deep" / name_of(run)) in told(app)

    drive(screen(run), steps, size=(140, 45))
    assert (tmp_path / "deep" / name_of(run)).is_file()


@pytest.mark.parametrize("folder", ["missing/deeper", "[/x]"])
@pytest.mark.parametrize("answer", ["y", "n"])
def test_a_folder_that_is_not_there_is_made_when_asked(
    folder: str, answer: str, run: Run, tmp_path: Path
) -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await ready(app, pilot)
        await pilot.press("f")
        app.screen.query_one("#folder", Input).value = folder
        await pilot.press("enter", "enter")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert f"There is no folder {tmp_path / folder}. Make it?" in text_of(app, "#question")
        assert not (tmp_path / folder).exists()
        await pilot.press(answer)
        done = "✓ written" if answer == "y" else "· nothing is written"
        await until(pilot, lambda: done in told(app))

    drive(screen(run), steps)
    assert (tmp_path / folder / name_of(run)).is_file() is (answer == "y")
    assert (tmp_path / folder).exists() is (answer == "y")


def test_a_name_of_ones_own(run: Run, tmp_path: Path) -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await ready(app, pilot)
        await pilot.press("n", *"mine", "enter")
        assert text_of(app, "#file") == "mine.md" and isinstance(app.focused, OptionList)
        await pilot.press("down")
        await until(pilot, lambda: text_of(app, "#file") == "mine.html")
        await pilot.press("n", *"/x")
        await until(pilot, lambda: "`/x` is no file name" in text_of(app, "#file"))
        await pilot.press("escape")
        assert app.screen.query_one("#file-name", Input).value == "mine"
        await pilot.press("enter")
        await until(pilot, lambda: "✓ written" in told(app))

    drive(screen(run), steps)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.html"]


def test_what_was_said_of_a_file_goes_when_another_one_is_meant(run: Run) -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await ready(app, pilot)
        for change in (["down"], ["n", "x", "enter"], ["f", "y", "escape"]):
            await pilot.press("enter")
            await until(pilot, lambda: "✓ written" in told(app))
            assert app.screen.query_one("#messages").display
            await pilot.press(*change)
            await until(pilot, lambda: not app.screen.query_one("#messages").display)

    drive(screen(run), steps)


def test_copying_sends_the_report_and_names_its_file(
    run: Run, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await ready(app, pilot)
        await pilot.press("c")
        await until(pilot, lambda: "also written" in told(app))
        assert "✓ report sent to the terminal's clipboard" in told(app)
        assert str(tmp_path / name_of(run)) in told(app)
        await pilot.press("c")
        await until(pilot, lambda: "it is in a file too" in told(app))
        assert str(tmp_path / name_of(run)) in told(app)

    app = drive(screen(run), steps)
    report = printed(run, "md", capfdbinary)
    assert (tmp_path / name_of(run)).read_bytes() == report
    assert app.copied == [report.decode()] * 2


def test_copying_without_a_folder_still_copies(run: Run) -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await ready(app, pilot)
        app.screen.query_one("#folder", Input).value = "gone"
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("n")
        await until(pilot, lambda: "nothing is written" in told(app))
        assert "✓ report sent" in told(app)

    assert len(drive(screen(run), steps).copied) == 1


@pytest.mark.parametrize(("button", "word"), [("#write", "✓ written"), ("#copy", "also written")])
def test_the_mouse_writes_and_copies(button: str, word: str, run: Run, tmp_path: Path) -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await ready(app, pilot)
        await pilot.click(OptionList, offset=(3, 1))
        assert app.screen.query_one(OptionList).highlighted == 1
        assert not [*tmp_path.iterdir()], "a click chooses a format and writes nothing"
        await pilot.click(button)
        await until(pilot, lambda: word in told(app))
        await pilot.click("#close")
        await until(pilot, lambda: app.done)

    drive(screen(run), steps)
    assert (tmp_path / name_of(run, 1 if button == "#write" else 0)).is_file()


def test_a_run_that_is_gone_is_one_error_and_pictures_still_work(run: Run, tmp_path: Path) -> None:
    run.delete()

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: "there is no run" in told(app))
        await pilot.press("enter")
        await until(pilot, lambda: "✗ there is no run" in told(app))
        await pilot.press("end", "enter")
        await until(pilot, lambda: "✓ written" in told(app))

    drive(screen(run), steps)
    (path,) = tmp_path.iterdir()
    assert path.suffix == ".svg" and "the picture" in path.read_text()


def test_a_file_that_is_still_written_is_told_of_after_closing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    go_on = threading.Event()
    begun = threading.Event()

    def slow(key: str, run_id: str, deployment: object = None) -> list[str]:
        begun.set()
        assert go_on.wait(DEADLINE)
        return ["late"]

    monkeypatch.setattr("qfid_tui.app.exported_file.report_parts", slow)
    notes: list[str] = []

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        monkeypatch.setattr(app, "notify", lambda text, **_: notes.append(text))
        await ready(app, pilot)
        await pilot.press("enter")
        await until(pilot, begun.is_set)
        await pilot.press("enter", "escape")
        await until(pilot, lambda: app.done)
        go_on.set()
        await until(pilot, lambda: bool(notes))

    drive(screen(run), steps)
    assert len(notes) == 1 and "written" in notes[0] and name_of(run) in notes[0]


@pytest.mark.parametrize("size", [(80, 24), (140, 45)])
def test_all_of_it_fits(size: tuple[int, int], run: Run) -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await ready(app, pilot)
        await pilot.press("c")
        await until(pilot, lambda: "also written" in told(app))
        assert footer_width(app) <= size[0]
        for widget in (*app.screen.query(Button), app.screen.query_one("#messages")):
            assert app.screen.region.contains_region(widget.region), widget

    drive(screen(run), steps, size=size)
