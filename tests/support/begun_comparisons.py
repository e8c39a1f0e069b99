"""Runs of the demo that have begun in the app."""

from __future__ import annotations

from cli_saved_runs import CHUNKS

from qfid_tui.state.comparison import Comparison
from scorer.spec.job import Job
from scorer.spec.settings.registry import parse_settings


def job(settings: str = "8,4") -> Job:
    return Job("demo", parse_settings(settings), chunk_length=16, max_chunks=CHUNKS)


def begun(settings: str = "8,4") -> Comparison:
    comparison = Comparison(clock=lambda: 0.0)
    comparison.begin(job(settings))
    return comparison
