"""The memory estimate against the peaks of real runs, each in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_models import use_real_cache
from scorer_child import scored_by_child
from tiny_runs import finished

from scorer.fit.memory_need import need
from scorer.fit.pass_size import PassSize
from scorer.models.resolve import resolve_model
from scorer.models.sizes import model_sizes
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.registry import parse_settings


@pytest.mark.real
@pytest.mark.parametrize(
    ("precision", "length", "batch"),
    [("4bit", 512, 1), ("fp32", 512, 1), ("8bit", 512, 4), ("4bit", 2048, 1)],
)
def test_the_estimate_is_near_the_peak_and_hardly_below_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, precision: str, length: int, batch: int
) -> None:
    repo = f"local-test/SmolLM2-135M-Instruct-{precision}"
    use_real_cache(monkeypatch, tmp_path, repo)
    monkeypatch.setenv("QFID_DEVICE", "cpu")
    job = Job(
        repo,
        parse_settings("4"),
        CorpusSpec("wikitext2"),
        chunk_length=length,
        max_chunks=batch,
        batch=batch,
    )
    events, code, _ = scored_by_child(job)
    assert code == 0
    peak = finished(events).report["settings"][0]["peak_memory_bytes"]
    estimate = need(model_sizes(resolve_model(repo)), job, "cpu", PassSize(batch)).total
    assert 0.9 <= estimate / peak <= 1.25, (estimate, peak)
