"""``qfid bench --report``: what it measures, and the bounds that a long run's report keeps."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from qfid_tui.cli.rendered_report import _stored_positions
from scorer.bench.made_up_run import save_made_up_run
from scorer.bench.resident_memory import (
    reset_resident_peak,
    resident_memory,
    resident_peak,
    return_free_memory,
)
from scorer.bench.saved_report import measured_report
from scorer.bench.scoring import main
from scorer.common.folders import runs_folder
from scorer.report.build import build_report
from scorer.report.formats.csv_export import positions_csv
from scorer.report.formats.parquet_export import positions_parquet
from scorer.report.from_run import _scored_setting, finished_report
from scorer.report.row_keys import with_row_keys
from scorer.report.tree import Report
from scorer.runs.comparability import run_conditions
from scorer.runs.run import Run
from scorer.spec.job import Job
from scorer.spec.settings.registry import parse_settings
from scorer.stats.positions import Positions

SETTINGS = "8,6,4,3,2,k8v4"
SMALL = ["--report", "30", "--repeats", "2", "--kv-bits", "8,4", "--chunk-length", "40"]


def made_up(folder: Path, chunks: int, settings: str = SETTINGS, length: int = 512) -> Run:
    job = Job("made-up", parse_settings(settings), chunk_length=length, chunks="first")
    return save_made_up_run(folder, job, chunks)


def test_the_figures_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--format", "json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (found["chunks"], found["settings"], found["chunk_length"]) == (30, ["8", "4"], 40)
    # Ten columns take 60 bytes a position, and every message some more.
    assert 30 * 39 * 60 < found["stored_bytes_per_setting"] < 30 * (39 * 60 + 1500)
    assert found["stored_bytes_per_setting"] == found["stored_bytes"] / 2
    assert found["ratio_to_reading"] == found["report_s"] / found["reading_s"]
    assert len(found["ratio_of_each_repeat"]) == 2
    assert found["peak_bytes_above_start"] >= 0


def test_the_page_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(SMALL) == 0
    page = capsys.readouterr().out
    assert "a made-up run of 30 chunks of 40 tokens, 8, 4: " in page
    assert "- its report: " in page and "- peak memory above the start: " in page


def test_a_number_of_chunks_below_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--report", "0"]) == 2
    assert "--report" in capsys.readouterr().err


def test_a_report_of_stored_positions_is_that_of_positions_in_memory(tmp_path: Path) -> None:
    run = made_up(tmp_path, 9, "8,4,2", 64)
    report = finished_report(run)
    stored = run.read()
    rows = []
    for setting in run.job.settings:
        row = _scored_setting(run, setting, stored)
        assert row.positions is stored[setting.key]
        whole = Positions.concatenate([positions for positions, _ in stored[setting.key]])
        rows.append(dataclasses.replace(row, positions=whole))
    facts = run.facts.run
    assert facts is not None
    made = with_row_keys(build_report(facts, rows), run_conditions(run.facts))
    assert made.to_json() == report.to_json()
    # And the run is one that reports have something to say of.
    assert len(report.comparisons) == 3 and report.run.complete


@pytest.mark.slow
def test_a_long_run_takes_little_more_memory_than_one_of_its_settings() -> None:
    """1.5 times what is stored of one setting, and 3 times the time to read the run once."""
    from qfid_tui.state.saved_comparison import open_comparison
    from qfid_tui.state.setting_detail import read_setting_detail

    folder = runs_folder() / "long"
    folder.mkdir(parents=True)
    run = made_up(folder, 3000)
    found = measured_report(run, repeats=3)
    assert found["ratio_to_stored_bytes_per_setting"] <= 1.5, found
    assert found["ratio_to_reading"] <= 3, found
    report = finished_report(run)
    run.save_report(report.to_json(), "# report\n")
    for name, read in {
        "its screen": lambda: open_comparison(run.id),
        "the detail": lambda: read_setting_detail(run.id, "4"),
        "its positions as CSV": lambda: _taken(saved_as(run, report, "positions")),
        "its positions as Parquet": lambda: _taken(saved_as(run, report, "parquet")),
    }.items():
        return_free_memory()
        reset_resident_peak()
        before = resident_memory()
        read()
        above = resident_peak() - before
        assert above <= 1.5 * found["stored_bytes_per_setting"], name


def saved_as(run: Run, report: Report, form: str) -> Iterable[object]:
    forms = {"positions": positions_csv, "parquet": positions_parquet}
    return forms[form](_stored_positions(run, report))


def _taken(parts: Iterable[object]) -> None:
    """Take what an export yields; of lines of CSV more than one setting has."""
    for _ in itertools.islice(parts, 2_000_000):
        pass
