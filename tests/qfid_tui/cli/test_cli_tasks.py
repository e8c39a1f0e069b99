"""``qfid tasks``: options into a job, events into a report, exit codes."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from cli_saved_runs import play, request_of, script
from task_folders import task_folder
from task_reports import made_report

from qfid_tui.cli import main
from qfid_tui.cli.tasks_display import TasksDisplay
from scorer.common.errors import InputError
from scorer.spec.events import (
    Event,
    Failed,
    Finished,
    Loading,
    RequestsScored,
    TasksPlanned,
    Warned,
)
from scorer.tasks import task_files
from scorer.tasks.report import TasksReport

PLANNED = TasksPlanned(
    "demo-1", "/data/tasks/demo-1", "demo", ["words"], ["8", "2"], 40, 160, 0, 320
)


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_files, "check_installed", lambda: None)


def finished(report: TasksReport | None = None) -> list[Event]:
    events: list[Event] = [Loading("tasks", "words"), PLANNED, RequestsScored(320, 320)]
    return [*events, Finished((report or made_report()).to_json())]


def whole_report() -> TasksReport:
    values = made_report().to_json()
    values["settings"] = values["settings"][:2]
    return TasksReport.from_json(values)


def test_options_become_a_job(monkeypatch: Any, tmp_path: Path, capsys: Any) -> None:
    folder = task_folder(tmp_path / "own")
    path = script(tmp_path / "script", finished(whole_report()))
    play(monkeypatch, path)
    monkeypatch.chdir(tmp_path)
    words = "tasks demo --settings 8,4@512,w4+8 --tasks own,everyday --limit 7 --batch 3"
    assert main(shlex.split(words)) == 0
    assert request_of(path) == {
        "model": "demo",
        "settings": ["8", "4@512", "w4+8"],
        "tasks": [str(folder), "everyday"],
        "limit": 7,
        "revision": None,
        "kernel": "auto",
        "batch": 3,
        "force": False,
        "allow_custom_code": False,
    }
    captured = capsys.readouterr()
    assert captured.out.startswith("# Downstream tasks: demo")
    assert "320 of 320 requests" in captured.err and "saved as /data/tasks/demo-1" in captured.err


def test_the_built_in_model_is_asked_its_own_task(monkeypatch: Any, tmp_path: Path) -> None:
    path = script(tmp_path / "script", finished(whole_report()))
    play(monkeypatch, path)
    assert main(["tasks", "demo", "--kv-bits", "8,4"]) == 0
    request = request_of(path)
    assert (request["tasks"], request["settings"]) == (["continuations"], ["8", "4"])


@pytest.mark.parametrize(
    ("words", "start"),
    [
        ("--format json", '{\n  "schema": 1'),
        ("--format csv", "task,metric,setting,"),
        ("--format md", "# Downstream"),
        ("--format html", "<!doctype html>"),
    ],
)
def test_every_format_is_printed(
    monkeypatch: Any, tmp_path: Path, capsys: Any, words: str, start: str
) -> None:
    play(monkeypatch, script(tmp_path / "script", finished(whole_report())))
    assert main(["tasks", "demo", *words.split()]) == 0
    assert capsys.readouterr().out.startswith(start)


@pytest.mark.parametrize("name", ["r.json", "r.csv", "r.md", "r.html"])
def test_the_ending_of_the_file_chooses_the_format(
    monkeypatch: Any, tmp_path: Path, capsys: Any, name: str
) -> None:
    play(monkeypatch, script(tmp_path / "script", finished(whole_report())))
    assert main(["tasks", "demo", "--output", str(tmp_path / name)]) == 0
    assert capsys.readouterr().out == ""
    start = {"r.json": "{", "r.csv": "task,", "r.md": "# Down", "r.html": "<!doctype"}[name]
    assert (tmp_path / name).read_text("utf-8").startswith(start)


def test_a_setting_that_failed_is_exit_code_1(monkeypatch: Any, tmp_path: Path) -> None:
    play(monkeypatch, script(tmp_path / "script", finished()))
    assert main(["tasks", "demo"]) == 1


@pytest.mark.parametrize("code", [2, 3, 130])
def test_the_scorers_error_is_told_with_its_exit_code(
    monkeypatch: Any, tmp_path: Path, capsys: Any, code: int
) -> None:
    failed = Failed("QfidError", "it went wrong", "do this", code)
    play(monkeypatch, script(tmp_path / "script", PLANNED, failed))
    assert main(["tasks", "demo"]) == code
    kind = "interrupted" if code == 130 else "error"
    assert f"{kind}: it went wrong\nhint: do this\n" in capsys.readouterr().err


def test_a_scorer_that_dies_is_told(monkeypatch: Any, tmp_path: Path, capsys: Any) -> None:
    play(monkeypatch, script(tmp_path / "script", PLANNED, "!say out of luck", "!exit 7"))
    assert main(["tasks", "demo"]) == 1
    said = capsys.readouterr().err
    assert "the scorer ended with code 7 without a report; its last line: out of luck" in said
    assert "the same command goes on" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("tasks", "MODEL is missing"),
        ("tasks demo --tasks nowhere", "there is no folder, YAML file or task `nowhere`"),
        ("tasks demo --limit 0", "a limit of `0` leaves no item"),
        ("tasks demo --kv-bits k8v4", "`k8v4` is not a number of bits"),
        ("tasks nobody/nothing", "`nobody/nothing`"),
    ],
)
def test_wrong_input_is_refused_before_anything_starts(
    capsys: Any, monkeypatch: Any, words: str, message: str
) -> None:
    monkeypatch.setattr("qfid_tui.process.scorer_process._start", None)
    assert main(words.split()) == 2
    assert message in capsys.readouterr().err


def test_without_the_harness_the_command_that_installs_it_is_named(
    capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(task_files, "HARNESS", "no_such_package_at_all")
    assert main(["tasks", "demo"]) == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert error == "error: tasks need lm-evaluation-harness, which is not installed"
    assert (
        hint.startswith("hint: `")
        and "pip install 'no_such_package_at_all>=0.4.13,<0.5'` installs it" in hint
    )


def test_a_harness_that_is_too_old_is_named(capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("importlib.metadata.version", lambda _: "0.4.9.1")
    with pytest.raises(
        InputError, match=r"lm-evaluation-harness 0\.4\.13; 0\.4\.9\.1 is installed"
    ):
        task_files.check_installed()
    monkeypatch.setattr("importlib.metadata.version", lambda _: "0.4.13")
    task_files.check_installed()


def test_the_schema_is_printed(capsys: Any) -> None:
    assert main(["tasks", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out)["$id"] == "urn:qfid:tasks:1"


class Ticks:
    """A clock that goes on by a second at each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_lines_come_once_a_tenth(capsys: Any) -> None:
    display = TasksDisplay(Ticks(), rewrites=False)
    display.add(TasksPlanned("r", "/r", "m", ["t"], ["8"], 5, 20, 40, 100))
    for done in range(41, 101):
        display.add(RequestsScored(done, 100))
    lines = capsys.readouterr().err.splitlines()
    assert "40 of 100 requests × settings were scored before" in lines
    # The first, then one for each tenth from the fifth to the last.
    assert sum(line.startswith(f"{n} of 100") for n in range(41, 101) for line in lines) == 7
    assert lines[-1].startswith("100 of 100 requests × settings") and "0 s left" in lines[-1]


def test_a_terminal_has_one_line_that_is_rewritten(capsys: Any) -> None:
    display = TasksDisplay(Ticks(), rewrites=True)
    display.add(Loading("model", "demo"))
    display.add(PLANNED)
    display.add(RequestsScored(10, 320))
    display.add(Warned("watch out"))
    display.clear()
    said = capsys.readouterr().err
    assert "\r\x1b[Jloading demo\r\x1b[J" in said
    assert "10 of 320 requests × settings" in said and said.endswith("warning: watch out\n")
