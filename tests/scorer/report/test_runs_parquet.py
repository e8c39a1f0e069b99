"""All figures of all runs as one table: nothing is lost, and what has no row is named."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from cli_saved_runs import save_run
from project import ROOT
from weights_reports import save_weights_run

from qfid_tui.cli import main
from scorer.common.folders import runs_folder
from scorer.report.formats.runs_parquet import METADATA_KEY
from scorer.runs.listing import Run

OLD = Path(ROOT) / "tests" / "golden" / "saved_run"


def export(path: Path) -> Any:
    assert main(["runs", "--export", str(path)]) == 0
    return pq.read_table(path)


def spoiled() -> Run:
    run = save_run()
    (run.path / "job.json").write_text("{")
    return run


def test_a_row_for_each_run_and_setting(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runs = [save_run(), save_weights_run(), save_run(chunks={"8": 3, "4": 0}, finished=False)]
    broken, empty = spoiled(), save_run(chunks=0, finished=False)
    old = runs_folder() / "20200101-000000-demo-0000"
    shutil.copytree(OLD, old)
    table = export(tmp_path / "results.parquet")
    rows = {(row["run_id"], row["setting"]): row for row in table.to_pylist()}
    assert len(rows) == table.num_rows == 2 + 3 + 2 + 2
    for run in runs[:2]:
        stored = run.report()
        assert stored is not None
        for row in stored["settings"]:
            found = rows[run.id, row["setting"]]
            assert found["kl.mean"] == row["kl"]["mean"] and found["run_state"] == "finished"
            assert found["intervals.flip_rate.high"] == row["intervals"]["flip_rate"]["high"]
            assert found["kl_quantiles.p99.9"] == row["kl_quantiles"]["p99.9"]
            assert found["run.versions.mlx"] == "0.32.4" and found["run_created"]
            assert found["comparability_key"] == row["comparability_key"] is not None
            assert found["warnings"] == row["warnings"]
    assert rows[runs[1].id, "w8+8"]["weights.bits_per_weight"] == 8.5
    half = rows[runs[2].id, "4"]
    assert (half["status"], half["kl.mean"], half["run_state"]) == ("waiting", None, "unfinished")
    assert rows[old.name, "8"]["run_state"] == "finished"
    # Its version did not record all that its figures depend on.
    assert rows[old.name, "8"]["comparability_key"] is None
    said = capfd.readouterr().err
    assert f"left out: run `{broken.id}`: `job.json` of run `{broken.id}` is not JSON" in said
    assert f"left out: run `{empty.id}`: run `{empty.id}` holds no scored chunk yet" in said
    assert "9 rows of 4 runs written to" in said and ", 2 left out" in said
    own = json.loads(table.schema.metadata[METADATA_KEY.encode()])
    assert own["schema"] == 1 and own["version"]
    assert {each["run"] for each in own["left_out"]} == {broken.id, empty.id}
    assert all(each["reason"] for each in own["left_out"])
    about = table.schema.field("flip_rate").metadata[b"description"]
    assert about == b"Share of positions whose top token changed, 0 to 1."


def test_runs_of_one_kind_have_equal_keys_and_types_do_not_depend_on_values(tmp_path: Path) -> None:
    save_run()
    one = export(tmp_path / "one.parquet")
    save_run(identity=None)
    two = export(tmp_path / "two.parquet")
    assert len(set(two["comparability_key"].to_pylist())) == 1
    assert one.schema.types == two.schema.types and one.schema.names == two.schema.names
    assert str(one.schema.field("control_kl.mean").type) == "double", "no run has one"


def test_undefined_and_endless_numbers_and_any_text_are_kept(tmp_path: Path) -> None:
    run = save_run()
    values = run.report()
    assert values is not None
    values["settings"][0]["kl"]["mean"] = "Infinity"
    values["settings"][0]["perplexity_delta"] = None
    values["settings"][0]["device"] = "a\ud800b\nc"
    (run.path / "report.json").write_text(json.dumps(values))
    row = export(tmp_path / "x.PARQUET").to_pylist()[0]
    assert row["kl.mean"] == math.inf and math.isnan(row["perplexity_delta"])
    assert row["device"] == "a\\ud800b\nc"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--export", "results.csv"], "written as Parquet, not to `results.csv`"),
        (["--export", "results"], "written as Parquet"),
        (["--export", "x.parquet", "--format", "json"], "--export stands alone"),
        (["--export", "x.parquet", "--delete", "1"], "--export stands alone"),
        (["--export", "nowhere/x.parquet"], "nowhere"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_read(
    words: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    run = save_run()
    assert main(["runs", *words]) == 2
    assert said in capfd.readouterr().err and run.path.exists()


def test_where_no_run_has_figures_nothing_is_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.parquet"
    assert main(["runs", "--export", str(path)]) == 2
    run = spoiled()
    assert main(["runs", "--export", str(path)]) == 2
    said = capfd.readouterr().err
    assert f"left out: run `{run.id}`" in said and "no run has figures to export" in said
    assert not path.exists()
