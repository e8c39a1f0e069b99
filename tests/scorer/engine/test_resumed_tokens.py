"""A run goes on only with the tokens that it was begun with."""

from __future__ import annotations

from typing import Any

import pytest
from tiny_runs import Small, failed, finished, planned, stopped

from scorer.engine import preparation
from scorer.runs.listing import find_run
from scorer.score import score


def test_a_run_on_other_tokens_is_refused(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a version that cut the same text otherwise, and did not record how."""
    job = small.job("8", max_chunks=2)
    run = find_run(planned(stopped(job, after=1)).run)
    build = preparation.cut_corpus

    def cut_otherwise(*args: Any, **options: Any) -> Any:
        corpus = build(*args, **options)
        corpus.ids[:, 7] = corpus.ids[:, 8]
        return corpus

    monkeypatch.setattr(preparation, "cut_corpus", cut_otherwise)
    before = (run.path / "job.json").read_bytes()
    error = failed(list(score(job, run=run.id)))
    assert error.exit_code == 2 and "other tokens" in error.message
    assert f"chunk {run.readable_facts.chunks[0]}" in error.message  # type: ignore[index]
    assert (run.path / "job.json").read_bytes() == before
    assert finished(list(score(job, run=run.id, accept_changes=True))).complete
