"""``--fail-under --confident``: three exits, of new runs and of saved ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_saved_runs import play, recording, save_run, script

from qfid_tui.cli import main

Capture = pytest.CaptureFixture[str]
ASKED = ("--fail-under", "good", "--confident")


def test_beyond_a_bound_ends_with_4_and_names_it(capfd: Capture) -> None:
    run = save_run("4", planned=14)
    assert main(["report", run.id, *ASKED]) == 4
    err = capfd.readouterr().err
    assert "--fail-under good --confident: beyond a bound of good: `4` (KL mean 0." in err
    assert "1 setting × 3 criteria hold together with 95 % (Bonferroni: 98.33 % each)" in err


def test_not_settled_ends_with_5_also_of_a_new_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    run = save_run("8")
    assert main(["resume", run.id, *ASKED]) == 5
    assert "not settled as good: `8` (" in capfd.readouterr().err
    play(monkeypatch, script(tmp_path / "s", recording(run)))
    assert main(["kv", "demo", "--kv-bits", "8", *ASKED]) == 5
    assert "not settled as good: `8` (" in capfd.readouterr().err


def test_a_stored_report_without_such_intervals_is_made_anew(capfd: Capture) -> None:
    run = save_run("4", planned=14)
    path = run.path / "report.json"
    values = json.loads(path.read_text())
    for row in (values, *values["settings"]):
        del row["joint_intervals"]
    path.write_text(json.dumps(values))
    assert main(["report", run.id, *ASKED]) == 4


def test_it_is_about_the_gate(capfd: Capture) -> None:
    assert main(["kv", "demo", "--confident"]) == 2
    assert "--confident is about --fail-under" in capfd.readouterr().err
