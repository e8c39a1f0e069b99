"""What saved runs are made from: a job, facts, a folder of their own and a clock that steps."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from scorer.runs import listing as runs
from scorer.runs.facts import StoredFacts
from scorer.spec.job import Job
from scorer.spec.settings.registry import parse_settings

IDENTITY = {"model": "a/b", "revision": None, "corpus_hash": "c" * 64, "batch": 4}
FACTS = StoredFacts(identity=IDENTITY, chunks=(0, 1))


def job(text: str = "8,4", model: str = "local/SmolLM2-135M-4bit", **more: Any) -> Job:
    return Job(model=model, settings=parse_settings(text), **more)


class Clock:
    """Stands in for ``datetime``: every look at it is a second later."""

    def __init__(self) -> None:
        self.seconds = 0

    def now(self, zone: Any) -> datetime:
        self.seconds += 1
        return datetime(2026, 11, 24, 2, 5, self.seconds % 60, tzinfo=zone)


def folder_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a test's runs are saved; each is a second later than the one before."""
    monkeypatch.setenv("QFID_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(runs, "datetime", Clock())
    return tmp_path / "data" / "runs"
