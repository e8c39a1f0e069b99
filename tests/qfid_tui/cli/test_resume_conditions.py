"""``qfid resume`` under other conditions than the run's: refused, each difference named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tiny_runs import Small, numbers, planned, stopped

from qfid_tui.cli import main
from scorer.report.from_run import finished_report
from scorer.runs.identity import identity_hash
from scorer.runs.listing import find_run
from scorer.score import score

OTHER = {
    "model revision": "f" * 40,
    "model files": "a" * 64,
    "corpus": "b" * 64,
    "tokenizer": "c" * 64,
    "device": "metal Apple M9",
    "compute dtype": "bfloat16",
    "BLAS": "OpenBLAS 0.3",
    "mlx version": "0.1.2",
    "mlx-lm version": "0.3.4",
}


def recorded_as(run_id: str, changes: dict[str, Any]) -> None:
    """Let the run have been scored under other conditions; None for one not recorded."""
    path = find_run(run_id).path / "job.json"
    data = json.loads(path.read_text())
    fields = data["facts"]["identity"] | changes
    data["facts"]["identity"] = {name: fields[name] for name in fields if fields[name] is not None}
    data["identity"] = identity_hash(data["facts"]["identity"])
    path.write_text(json.dumps(data))


def figures(report: dict[str, Any]) -> dict[str, Any]:
    """The report without its warnings, and what it may be compared with."""
    rows = [{**row, "warnings": [], "comparability_key": ""} for row in report["settings"]]
    return {**report, "settings": rows, "run": {**report["run"], "warnings": [], "conditions": {}}}


def test_the_command_line_names_everything_that_differs_and_goes_on_when_told_to(
    small: Small, capfd: pytest.CaptureFixture[str]
) -> None:
    job = small.job("8,4")
    run = planned(stopped(job, after=3)).run
    real = find_run(run).facts.identity
    assert set(OTHER) <= set(real)
    recorded_as(run, OTHER)
    before = find_run(run).positions_path.read_bytes()
    assert main(["resume", run]) == 2
    out, err = capfd.readouterr()
    assert out == "" and len(err.splitlines()[-2:]) == 2
    error, hint = err.splitlines()[-2:]
    assert error.startswith(f"error: run `{run}` was scored under other conditions: ")
    for key, value in OTHER.items():
        now = str(real[key])
        then, now = (v if len(v) <= 40 else f"{v[:39]}…" for v in (value, now))
        assert f"{key} (`{then}`, now `{now}`)" in error
    assert "--accept-changes" in hint
    assert find_run(run).positions_path.read_bytes() == before

    assert main(["resume", run, "--accept-changes", "--format", "json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert find_run(run).facts.identity == real and find_run(run).whole
    whole = json.loads(json.dumps([*score(job)][-1].to_json()))["report"]
    (warning,) = set(report["run"]["warnings"]) - set(whole["run"]["warnings"])
    assert warning.startswith("the chunks were not all scored under the same conditions")
    assert all(f"{key} (" in warning for key in OTHER)
    assert numbers(figures(report)) == numbers(figures(whole))
    # What is mixed may be ranked with nothing that is not.
    keys = {each["settings"][0]["comparability_key"] for each in (report, whole)}
    assert len(keys) == 2 and None not in keys


def test_a_run_of_mixed_conditions_says_so_in_every_later_report(small: Small) -> None:
    job = small.job("8,4")
    run = planned(stopped(job, after=1)).run
    for version in ("0.1.2", "0.1.3"):
        recorded_as(run, {"mlx version": version})
        stopped(job, after=1, run=run, accept_changes=True)
    report = finished_report(find_run(run))
    told = [text for text in report.run.warnings if "--accept-changes" in text]
    assert ["0.1.2" in text for text in told] == [True, False]
    assert ["0.1.3" in text for text in told] == [False, True]


def test_a_field_that_an_older_run_lacks_is_unknown_and_its_report_says_so(
    small: Small, capfd: pytest.CaptureFixture[str]
) -> None:
    job = small.job("8,4")
    run = planned(stopped(job, after=1)).run
    real = find_run(run).facts.identity
    recorded_as(run, {"BLAS": None, "tokenizer": None})
    assert "BLAS" not in find_run(run).facts.identity
    assert main(["resume", run, "--format", "json"]) == 0
    out, err = capfd.readouterr()
    assert f"run `{run}` does not say under which tokenizer, BLAS it was begun" in err
    (warning,) = [text for text in json.loads(out)["run"]["warnings"] if "not known" in text]
    assert warning.endswith("the same before and after: tokenizer, BLAS")
    # It is known from now on, and what was not is not forgotten.
    assert dict(find_run(run).facts.identity) == dict(real)
    recorded_as(run, {"BLAS": "OpenBLAS 0.3"})
    assert [*score(job, run=run)][-1].to_json()["exit_code"] == 2
    assert warning in finished_report(find_run(run)).run.warnings


def test_a_run_of_nothing_yet_mixes_nothing(small: Small) -> None:
    job = small.job("8,4")
    run = planned(stopped(job, after=1)).run
    find_run(run).positions_path.unlink()
    recorded_as(run, OTHER)
    last = [*score(job, run=run, accept_changes=True)][-1].to_json()
    assert not any("--accept-changes" in text for text in last["report"]["run"]["warnings"])


@pytest.mark.parametrize("key", ["device", "compute dtype", "model revision"])
def test_each_alone_is_enough(small: Small, key: str) -> None:
    job = small.job("8,4")
    run = planned(stopped(job, after=1)).run
    recorded_as(run, {key: OTHER[key]})
    failure = [*score(job, run=run)][-1].to_json()
    assert failure["exit_code"] == 2 and f"other conditions: {key} (" in failure["message"]
    assert failure["message"].count("now `") == 1
