"""``qfid report`` and ``qfid resume`` with ``--memory`` and ``--context``: nothing is scored."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from cli_saved_runs import save_run
from page_markup import checked
from tiny_runs import Small, planned, stopped

from qfid_tui.cli import main
from scorer.report.tree import Report
from scorer.runs import listing
from scorer.spec.deployment import DeploymentSpec
from scorer.spec.job import Job

Capture = pytest.CaptureFixture[str]
SETTINGS = "w8:32,4,w8:32+4,w2:32,w2:32+4"


@pytest.fixture(scope="module")
def scored(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a run of weights, which was asked for 8 MB."""
    folder = tmp_path_factory.mktemp("scored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QFID_DATA_DIR", str(folder))
        where = DeploymentSpec(8 * 10**6, 512)
        planned(small.score(SETTINGS, deployment=where, max_chunks=3))
    return folder


@pytest.fixture
def run(scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A copy of that run, and nothing that could score."""
    shutil.copytree(scored, tmp_path / "data")
    monkeypatch.setenv("QFID_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr("qfid_tui.cli.scoring.score", lambda *_, **__: 99)
    found = listing.newest_run()
    return found.id


def printed(capfd: Capture, *words: str) -> str:
    assert main([*words]) == 0
    return capfd.readouterr().out


def report(capfd: Capture, run: str, *options: str) -> Report:
    found: dict[str, Any] = json.loads(printed(capfd, "report", run, "--format", "json", *options))
    return Report.from_json(found)


def test_a_saved_run_answers_for_another_memory(capfd: Capture, run: str) -> None:
    before, after = report(capfd, run), report(capfd, run, "--memory", "1GB", "--context", "2k")
    old, new = before.deployment, after.deployment
    assert old is not None and new is not None
    assert (old.memory, old.context) == (8 * 10**6, 512)
    assert (new.memory, new.context, new.device) == (10**9, 2048, "metal")
    # What was measured is the same.
    for one, other in zip(before.settings, after.settings, strict=True):
        assert one.numbers == other.numbers
    for cell, larger in zip(old.cells, new.cells, strict=True):
        assert cell.weight_bytes == larger.weight_bytes and larger.cache_bytes > cell.cache_bytes
    assert "--memory 1GB --context 2k" in after.run.command
    # The run keeps what it was asked.
    assert report(capfd, run) == before


def test_options_that_are_not_given_are_those_of_the_run(capfd: Capture, run: str) -> None:
    found = report(
        capfd, run, "--parallel", "2", "--device", "cuda", "--prefill-step-size", "64"
    ).deployment
    assert found is not None
    assert (found.memory, found.context, found.parallel) == (8 * 10**6, 512, 2)
    assert found.device == "cuda" and {cell.step for cell in found.cells} == {64}


@pytest.mark.parametrize("format", ["md", "html", "csv", "card", "badge", "answer", "json"])
def test_every_format_takes_it(capfd: Capture, run: str, format: str) -> None:
    text = printed(capfd, "report", run, "--format", format, "--context", "4k")
    if format == "html":
        assert "total at 4k (MB)" in checked(text).text
    if format == "md":
        assert "total at 4k (MB)" in text
    if format == "csv":
        rows = csv.DictReader(io.StringIO(text))
        assert {row["context_tokens"] for row in rows} == {"4096"}
    if format == "answer":
        # The command gives the same answer in full.
        assert text.endswith(f"All of it: qfid report {run} --memory 8MB --context 4k\n")
        assert len(text.splitlines()) <= 10


def test_positions_need_no_deployment(capfd: Capture, run: str, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    lines = printed(capfd, "report", run, "--format", "positions").splitlines()
    names = {line.split(",")[0] for line in lines[1:]}
    assert names == set(SETTINGS.split(","))
    path = tmp_path / "positions.parquet"
    printed(capfd, "report", run, "--output", str(path))
    assert pq.read_table(path)["setting"].unique().to_pylist() == SETTINGS.split(",")


def test_resume_of_a_complete_run_answers_too(capfd: Capture, run: str) -> None:
    text = printed(capfd, "resume", run, "--memory", "1GB", "--format", "answer")
    assert " in 1.00 GB at 512 tokens of context" in text


def test_resume_goes_on_with_the_new_deployment(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = planned(stopped(small.job("8,4", deployment=DeploymentSpec(10**9)), 1)).run
    asked: list[Job] = []

    def keep(job: Job, *_: Any, **__: Any) -> int:
        asked.append(job)
        return 0

    monkeypatch.setattr("qfid_tui.cli.scoring.score", keep)
    assert main(["resume", run, "--context", "2k"]) == main(["resume", run]) == 0
    assert [job.deployment for job in asked] == [
        DeploymentSpec(10**9, 2048),
        DeploymentSpec(10**9),
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--memory", "16"], "--memory `16` is too little for any model: 16 bytes"),
        (["--context", "many"], "--context `many` is not a number of tokens"),
        (["--parallel", "0"], "parallel `0` is less than 1"),
    ],
)
@pytest.mark.parametrize("command", ["report", "resume"])
def test_a_wrong_amount_is_refused(
    capfd: Capture, run: str, command: str, options: list[str], said: str
) -> None:
    assert main([command, run, *options]) == 2
    assert said in capfd.readouterr().err


def test_a_run_of_an_earlier_version_says_what_it_lacks(capfd: Capture) -> None:
    run = save_run("8,4")
    assert main(["report", run.id, "--memory", "16GB"]) == 2
    err = capfd.readouterr().err
    assert "does not say what memory its model takes" in err and len(err.splitlines()) == 2
