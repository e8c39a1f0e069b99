"""Weights of real models: made in memory against published repos, and drift against bits."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from real_models import REPO, use_real_cache
from tiny_runs import finished, planned

from scorer.runs.listing import find_run
from scorer.score import score
from scorer.spec.job import Job
from scorer.spec.settings.registry import parse_settings

pytestmark = pytest.mark.real

FP16 = f"{REPO}-fp16"
# Those that were converted with groups of 64 from the same weights.
REPOS = {bits: f"{REPO}-{bits}bit" for bits in (8, 6, 3, 2)}
AFFINE = ("w8", "w6", "w5", "w4", "w3", "w2")


def scored(model: str, settings: str, chunks: int, length: int) -> tuple[str, dict[str, Any]]:
    """The run, and its report's rows by setting. One set at a time: memory is short at times."""
    job = Job(
        model,
        parse_settings(settings),
        chunk_length=length,
        max_chunks=chunks,
        one_at_a_time=True,
    )
    events = list(score(job))
    assert finished(events).complete
    return planned(events).run, {row["setting"]: row for row in finished(events).report["settings"]}


def test_made_weights_are_the_repos_of_those_precisions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_real_cache(monkeypatch, tmp_path, FP16, *REPOS.values())
    pairs = {f"w{bits}": f"w={repo}" for bits, repo in REPOS.items()}
    run, rows = scored(FP16, ",".join([*pairs, *pairs.values()]), 1, 96)
    stored = find_run(run).read()
    for (made, repo), row in zip(pairs.items(), [*rows.values()][len(pairs) :], strict=True):
        assert row["setting"].startswith(repo)
        # Every scalar of every position.
        (one, _), (other, _) = stored[made][0], stored[row["setting"]][0]
        for field in dataclasses.fields(one):
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))
        for key in ("quant_bits_per_weight", "quant_bits", "kl", "flip_rate", "perplexity_quant"):
            assert rows[made][key] == row[key], (made, key)
        assert rows[made]["kl"]["mean"] > 0
    print({name: row["kl"]["mean"] for name, row in rows.items()})


@pytest.mark.parametrize(
    "model",
    [FP16, "local-test/Qwen2.5-Coder-0.5B-Instruct-bf16", "local-test/gemma-3-270m-bf16"],
    ids=lambda name: name.rpartition("/")[2],
)
def test_drift_falls_with_bits_among_affine_weights_of_one_group(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: str
) -> None:
    use_real_cache(monkeypatch, tmp_path, model)
    _, rows = scored(model, ",".join([*AFFINE, "wmxfp8"]), 2, 128)
    means = {name: row["kl"]["mean"] for name, row in rows.items()}
    print(f"\n{model}", {n: (v, rows[n]["quant_bits_per_weight"]) for n, v in means.items()})
    of_affine = [means[name] for name in AFFINE]
    assert of_affine[0] > 0
    assert all(b > 1.5 * a for a, b in itertools.pairwise(of_affine))
    bits = [rows[name]["quant_bits_per_weight"] for name in AFFINE]
    assert bits == sorted(bits, reverse=True) and 8 < bits[0] < 9
    # More bits than either, and less exact than the smaller: kinds of codes are not one ladder.
    assert 8 < rows["wmxfp8"]["quant_bits_per_weight"] < bits[0]
    assert means["wmxfp8"] > means["w6"]
