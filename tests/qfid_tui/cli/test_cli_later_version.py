"""Commands on runs that a later version has written to: one line, and no byte changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_saved_runs import play, save_run
from later_positions import rewrite

from qfid_tui.cli import main

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("command", ["resume", "report"])
@pytest.mark.parametrize(
    ("changes", "text"),
    [({"version": "2"}, "version `2`, not `1`"), ({"passage": "b"}, "metadata, `passage`")],
)
def test_what_is_not_understood_is_refused_in_one_line(
    command: str,
    changes: dict[str, str],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: Capture,
) -> None:
    run = save_run(chunks=3, finished=False)
    data = rewrite(run.positions_path, **changes)
    play(monkeypatch, tmp_path / "never")
    assert main([command, run.id]) == 2
    out, err = capfd.readouterr()
    assert out == "" and text in err and "newer qfid" in err and len(err.splitlines()) == 2
    assert run.positions_path.read_bytes() == data
    assert not (tmp_path / "never.request").exists()
    assert main(["runs"]) == 0
    assert text in capfd.readouterr().out


def test_a_column_more_is_reported_and_not_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    run = save_run(chunks=3, finished=False)
    assert main(["report", run.id]) == 0
    before = capfd.readouterr().out
    data = rewrite(run.positions_path, column="entropy")
    play(monkeypatch, tmp_path / "never")
    assert main(["report", run.id]) == 0
    assert capfd.readouterr().out == before
    assert main(["resume", run.id]) == 2
    err = capfd.readouterr().err
    assert "a column more, `entropy`; this version does not write to it" in err
    assert main(["runs"]) == 0
    assert "read-only" in capfd.readouterr().out
    assert main(["runs", "--format", "json"]) == 0
    (row,) = json.loads(capfd.readouterr().out)
    assert (row["state"], row["chunks_done"]) == ("unfinished", 6)
    assert "`entropy`" in row["read_only"]
    assert run.positions_path.read_bytes() == data


def test_a_finished_run_with_a_column_more_is_only_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    run = save_run()
    data = rewrite(run.positions_path, column="entropy")
    play(monkeypatch, tmp_path / "never")
    assert main(["resume", run.id]) == 0
    assert capfd.readouterr().out == (run.path / "report.md").read_text("utf-8")
    assert run.positions_path.read_bytes() == data
