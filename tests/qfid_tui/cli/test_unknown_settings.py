"""A saved run with a setting that this version does not know: one line, never a crash."""

from __future__ import annotations

import json

import pytest
from cli_saved_runs import save_run
from side_screen_app import Below, drive, text_of, until
from textual.pilot import Pilot

from qfid_tui.app.screens.history import HistoryScreen
from qfid_tui.cli import main
from qfid_tui.state.earlier_runs import earlier_settings, read_earlier
from scorer.runs.run import Run


def of_a_later_version(setting: str = "16/turboquant3", *, finished: bool = True) -> Run:
    """A run to whose job a later version has added a setting."""
    run = save_run("8", finished=finished)
    file = run.path / "job.json"
    data = json.loads(file.read_text())
    data["job"]["settings"].append(setting)
    data["facts"]["run"]["job"]["settings"].append(setting)
    file.write_text(json.dumps(data))
    return run


def line(run: Run, setting: str, name: str) -> str:
    return f"`job.json` of run `{run.id}`: setting `{setting}`: this version does not know `{name}`"


@pytest.mark.parametrize(
    ("setting", "name"),
    [("16/turboquant3", "turboquant"), ("w4+kivi2", "kivi"), ("mxfp8", "mxfp8")],
)
def test_the_list_names_run_and_setting(
    setting: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    known, run = save_run("8"), of_a_later_version(setting)
    assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and any(known.id in text and "finished" in text for text in lines)
    (shown,) = [text for text in lines if run.id in text]
    assert "broken" in shown and shown.endswith(line(run, setting, name))
    assert main(["runs", "--format", "json"]) == 0
    infos = {info["id"]: info for info in json.loads(capsys.readouterr().out)}
    assert infos[run.id]["reason"] == line(run, setting, name)


@pytest.mark.parametrize("command", ["report", "resume"])
def test_it_cannot_be_used_and_says_so(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = of_a_later_version()
    before = (run.path / "job.json").read_bytes()
    assert main([command, run.id]) == 2
    out, err = capsys.readouterr()
    assert out == "" and line(run, "16/turboquant3", "turboquant") in err
    assert len(err.strip().splitlines()) <= 2
    assert (run.path / "job.json").read_bytes() == before


def test_the_newest_run_that_can_be_read_is_resumed(capsys: pytest.CaptureFixture[str]) -> None:
    of_a_later_version(finished=False)
    assert main(["resume"]) == 2
    assert "no run is unfinished" in capsys.readouterr().err


def test_the_app_lists_it_and_passes_it_over() -> None:
    known, run = save_run("8"), of_a_later_version()
    assert {row.run for row in earlier_settings("demo")} == {known.id}
    assert read_earlier("demo", None, is_saved=False).unfinished is None

    async def steps(app: Below, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: text_of(app, "#runs-title") == "Earlier runs of all models · 2")
        for _ in range(3):
            about = text_of(app, "#run-about")
            if run.id in about:
                break
            await pilot.press("j")
        assert "this version does not know `turboquant`" in " ".join(about.split())
        await pilot.press("g")
        await pilot.press("enter")
        assert not app.done

    drive(HistoryScreen(None), steps, size=(140, 45))
