"""Weights of real models: made in memory, they equal the repos; fewer bits drift more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_files import converted, needs_gguf
from real_models import REPO, use_real_cache
from tiny_runs import finished, planned

from scorer.models.resolve import resolve_model
from scorer.runs.listing import find_run
from scorer.score import score
from scorer.spec.job import Job
from scorer.spec.settings.registry import parse_settings

pytestmark = pytest.mark.real

BITS = (8, 6, 3, 2)


def job(model: str, settings: str, length: int) -> Job:
    found = parse_settings(settings)
    return Job(model, found, chunk_length=length, max_chunks=1, one_at_a_time=True)


def test_made_weights_equal_the_repos_of_their_precision_in_every_digit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    repos = {bits: f"{REPO}-{bits}bit" for bits in BITS}
    use_real_cache(monkeypatch, tmp_path, f"{REPO}-fp16", *repos.values())
    settings = ",".join(f"w{bits},w={repo}" for bits, repo in repos.items())
    events = list(score(job(f"{REPO}-fp16", settings, 64)))
    assert finished(events).complete
    stored: dict[str, Any] = {
        name: positions for name, ((positions, _),) in find_run(planned(events).run).read().items()
    }
    for bits, repo in repos.items():
        for column in ("kl", "nll_ref", "nll_quant", "top_quant_logprob"):
            made, other = (getattr(stored[key], column) for key in (f"w{bits}", f"w={repo}"))
            np.testing.assert_array_equal(made, other, f"{bits} bits, {column}")


@pytest.mark.parametrize(
    "model",
    [
        f"{REPO}-fp16",
        "local-test/gemma-3-270m-bf16",
        "local-test/Qwen2.5-Coder-0.5B-Instruct-bf16",
    ],
)
def test_fewer_bits_drift_more(model: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_real_cache(monkeypatch, tmp_path, model)
    rows = finished(list(score(job(model, "w8,w6,w4,w3,w2", 128)))).report["settings"]
    means = [row["kl"]["mean"] for row in rows]
    assert 0 < means[0] and means == sorted(means), means


@pytest.mark.parametrize(
    ("model", "exact"),
    [
        (f"{REPO}-fp16", "F16"),
        ("local-test/Qwen2.5-Coder-0.5B-Instruct-bf16", "BF16"),
        ("local-test/gemma-3-270m-bf16", "BF16"),
    ],
)
def test_a_gguf_file_of_the_same_values_is_the_model(
    model: str, exact: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    needs_gguf()
    use_real_cache(monkeypatch, tmp_path, model)
    folder = resolve_model(model).path
    for kind in (exact, "Q8_0"):
        converted(folder, kind).write(tmp_path / f"{kind}.gguf")
    settings = ",".join(f"w={tmp_path}/{kind}.gguf" for kind in (exact, "Q8_0"))
    rows = finished(list(score(job(model, settings, 64)))).report["settings"]
    assert rows[0]["kl"]["max"] == 0 and 1e-5 < rows[1]["kl"]["mean"] < 0.05


def test_eight_bit_floats_are_worse_than_six_bits_affine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_real_cache(monkeypatch, tmp_path, f"{REPO}-fp16")
    rows = finished(list(score(job(f"{REPO}-fp16", "w6,wmxfp8", 128)))).report["settings"]
    six, eight = (row["kl"]["mean"] for row in rows)
    assert six < eight
