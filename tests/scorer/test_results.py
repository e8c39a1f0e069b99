"""Saved runs read by programs: reports and arrays of every kind of run, errors in one line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_saved_runs import save_run
from fuzz_inputs import one_clear_line
from project import ROOT
from weights_reports import save_weights_run

import scorer
from scorer.common.errors import InputError, QfidError
from scorer.results import open_run
from scorer.runs.listing import Run
from scorer.stats.positions import Positions

OLD = Path(ROOT) / "tests" / "golden" / "saved_run"


def test_a_run_gives_its_report_and_arrays_by_setting() -> None:
    run = save_run()
    opened = open_run(run.id[:-2])
    assert opened.id == run.id and opened.finished
    assert opened.settings == ("8", "4") and opened.job.chunk_length == 16
    assert opened.report.to_json() == run.report()
    assert opened.report is opened.report and opened.missing == {}
    arrays = opened.arrays
    assert list(arrays) == ["8", "4"] and len(arrays["4"]) == 60
    assert arrays["4"].chunks == [0, 1, 2, 3] and arrays["4"].sizes == [15] * 4
    positions = arrays["4"].read()
    assert positions.kl.shape == (60,) and positions.kl.dtype == np.float64
    assert positions.token.dtype == np.int32 and positions.flips.dtype == np.bool_
    rows = opened.report.settings
    assert rows[1].numbers is not None
    assert positions.kl.mean() == pytest.approx(rows[1].numbers.kl.mean)
    joined = Positions.concatenate(list(arrays["4"].by_chunk()))
    assert np.array_equal(joined.kl, positions.kl)
    assert repr(arrays["4"]) == "<4: 60 positions of 4 chunks>"
    assert repr(opened) == f"<run {run.id}: 8, 4>"
    every = scorer.read_positions(run.id)
    assert list(every) == ["8", "4"] and np.array_equal(every["4"].kl, positions.kl)


def test_a_gate_of_no_tier_is_refused() -> None:
    opened = open_run(save_run().id)
    assert opened.gate("marginal").exit_code in (0, 4, 5)
    with pytest.raises(InputError, match="`best` is no tier"):
        opened.gate("best")  # type: ignore[arg-type]


def test_a_run_with_weights() -> None:
    opened = open_run(save_weights_run().id)
    assert list(opened.arrays) == ["8", "w8", "w8+8"]
    assert opened.report.grid is not None and opened.report.interactions
    assert len(opened.arrays["w8+8"].read()) == 12 * 20


def test_an_unfinished_run_gives_what_it_has() -> None:
    opened = open_run(save_run(chunks={"8": 3, "4": 0}, finished=False).id)
    assert not opened.finished and list(opened.arrays) == ["8"]
    assert [row.status for row in opened.report.settings] == ["scored", "waiting"]
    assert opened.report.settings[0].n_chunks == 3 == len(opened.arrays["8"].chunks)
    assert opened.missing == {"8": [3], "4": [0, 1, 2, 3]}


def test_a_run_of_nothing_scored_says_so_in_one_line() -> None:
    opened = open_run(save_run(chunks=0, finished=False).id)
    assert opened.arrays == {}
    with pytest.raises(QfidError, match="holds no scored chunk yet") as error:
        _ = opened.report
    one_clear_line(error.value)


@pytest.mark.parametrize("as_path", [True, False])
def test_a_run_of_an_earlier_version_anywhere(tmp_path: Path, as_path: bool) -> None:
    folder = tmp_path / "copied"
    shutil.copytree(OLD, folder)
    opened = open_run(folder if as_path else f"{folder}/")
    assert opened.settings == ("8", "k8v4") and sorted(opened.arrays) == ["8", "k8v4"]
    # Made by the present rules, which say otherwise.
    assert "by the present rules" in opened.report.run.warnings[0]
    names = [sorted(path.name for path in run.iterdir()) for run in (folder, OLD)]
    assert names[0] == names[1], "nothing is written"


def test_the_key_of_a_row_is_in_reports_that_were_stored_without() -> None:
    run = save_run()
    values = run.report()
    assert values is not None
    key = values["settings"][0].pop("comparability_key")
    values["settings"][1].pop("comparability_key")
    assert values["run"].pop("conditions")["chunk length"] == 16
    (run.path / "report.json").write_text(json.dumps(values))
    report = open_run(run.id).report
    assert report.settings[0].comparability_key == report.settings[1].comparability_key == key
    assert key is not None and report.run.conditions["chunk length"] == 16


def test_what_is_no_run_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text("{")
    for name in ("20990101", str(tmp_path / "nothing"), tmp_path, tmp_path / "\0", ""):
        with pytest.raises(InputError) as error:
            open_run(name)
        one_clear_line(error.value)


def damage(run: Run, name: str) -> None:
    path = run.path / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def test_damaged_positions_leave_what_is_before_them() -> None:
    run = save_run()
    damage(run, "positions.arrow")
    opened = open_run(run.id)
    assert 0 < sum(map(len, opened.arrays.values())) < 120
    lost = sum(map(len, opened.missing.values()))
    assert 0 < lost == 8 - sum(len(arrays.chunks) for arrays in opened.arrays.values())
    assert opened.report.to_json() == run.report(), "the stored report is whole"
    (run.path / "report.json").unlink()
    assert 0 < sum(row.n_chunks for row in open_run(run.id).report.settings) < 8


def test_damaged_facts_leave_the_positions() -> None:
    run = save_run(finished=False)
    values = json.loads((run.path / "job.json").read_text())
    values["facts"]["run"]["batch"] = "many"
    (run.path / "job.json").write_text(json.dumps(values))
    opened = open_run(run.id)
    assert len(opened.arrays["8"].read()) == 60
    with pytest.raises(QfidError) as error:
        _ = opened.report
    one_clear_line(error.value)


READER = """
import sys, time
before = time.process_time()
from scorer.results import open_run
run = open_run({path!r})
took = time.process_time() - before
assert run.settings and not {heavy} & set(sys.modules)
if {report}:
    run.report
    assert not {heavy} & set(sys.modules)
run.arrays["8"].read()
assert not {more} & set(sys.modules)
print(took)
"""
HEAVY = {"mlx", "mlx_lm", "textual", "numpy", "pyarrow", "tokenizers", "huggingface_hub"}


def seconds_to_open(run: Path, *, report: bool) -> float:
    """Processor time in a fresh interpreter, which checks what is imported."""
    code = READER.format(
        path=str(run), heavy=HEAVY, more={"mlx", "mlx_lm", "textual", "transformers"}, report=report
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def test_opening_imports_nothing_heavy() -> None:
    seconds_to_open(save_run().path, report=True)


@pytest.mark.slow
def test_opening_takes_less_than_a_tenth_of_a_second() -> None:
    assert min(seconds_to_open(OLD, report=False) for _ in range(5)) < 0.1
