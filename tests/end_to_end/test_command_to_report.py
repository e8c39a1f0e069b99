"""The whole way as a user goes it: the command, its child, the model, the saved run, the report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from real_models import REPO, use_real_cache
from valid_reports import check_report

from scorer.stats.verdict import tier_rank


def qfid(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the installed command with no terminal attached."""
    command = str(Path(sys.executable).with_name("qfid"))
    done = subprocess.run([command, *words], capture_output=True, text=True, timeout=280)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def rows(report: str) -> dict[str, Any]:
    values = json.loads(report)
    check_report(values)
    return {row["setting"]: row for row in values["settings"]}


def test_the_demo_is_scored_listed_stopped_at_nothing_and_printed_again(tmp_path: Path) -> None:
    words = ("--kv-bits", "8,4,2", "--max-chunks", "2", "--chunks", "spread")
    # A gate that is not met ends with 4.
    done = qfid("kv", "demo", *words, "--fail-under", "good", code=4)
    assert done.stdout.startswith("# KV-fidelity: `demo`, 3 settings\n") and "`2`" in done.stderr
    assert "**Recommendation:**" in done.stdout and "2 of 2 chunks scored" in done.stderr
    (run,) = (line.split()[-1] for line in done.stderr.splitlines() if "saved as run" in line)
    assert run in qfid("runs").stdout
    assert qfid("report", run, "--format", "md").stdout == done.stdout
    found = rows(qfid("report", run, "--format", "json").stdout)
    assert list(found) == ["8", "4", "2"]
    means = [row["kl"]["mean"] for row in found.values()]
    assert means == sorted(means) and means[2] > 100 * means[0] > 0
    assert tier_rank(found["8"]["verdict"]) > tier_rank(found["2"]["verdict"])
    positions = qfid("report", run, "--format", "positions").stdout.splitlines()
    assert len(positions) == 1 + 3 * 2 * 511
    file = tmp_path / "report.csv"
    qfid("report", run, "--format", "csv", "--output", str(file))
    assert len(file.read_text("utf-8").splitlines()) == 4
    nothing_left = qfid("resume", code=2)
    assert "no run is unfinished" in nothing_left.stderr


@pytest.mark.real
def test_smoke_of_a_real_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = f"{REPO}-4bit"
    use_real_cache(monkeypatch, tmp_path, model)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert model in qfid("models").stdout
    done = qfid("kv", model, "--kv-bits", "8,2", "--max-chunks", "1", "--format", "json")
    found = rows(done.stdout)
    assert 0 < found["8"]["kl"]["mean"] < 0.01 < 0.1 < found["2"]["kl"]["mean"]
    assert (found["8"]["verdict"], found["2"]["verdict"]) != ("bad", "good")
    assert found["2"]["verdict"] == "bad" and found["2"]["flip_rate"] > found["8"]["flip_rate"]
    assert found["8"]["n_positions"] == 511 and found["8"]["kv_bytes_per_token"] == 12_240
    assert list((tmp_path / "runs").iterdir())
