"""On a GPU alone, with QFID_DEVICE=gpu: every fast way against the plain one."""

from __future__ import annotations

import os
from dataclasses import fields

import mlx.core as mx
import numpy as np
import pytest
from small_runs import finished, planned

from scorer.arrow_stream import Batch, read_positions
from scorer.fused_quantizer import usable_quantizer
from scorer.fused_selftest import usable_kernel
from scorer.job import CorpusSpec, Job, parse_settings
from scorer.positions import Positions
from scorer.runs import find_run
from scorer.score import score

pytestmark = pytest.mark.skipif(
    os.environ["QFID_DEVICE"] == "cpu", reason="QFID_DEVICE=gpu runs it, where there is a GPU"
)

JOB = Job(
    "demo",
    parse_settings("8,4,k8v3:32,4@64", path="dequantized"),
    CorpusSpec("builtin"),
    chunk_length=128,
    max_chunks=20,
    batch=8,
)


def scored(monkeypatch: pytest.MonkeyPatch, **variables: str) -> dict[tuple[str, int], Positions]:
    with monkeypatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        events = list(score(JOB))
        assert finished(events).complete
        saved = find_run(planned(events).run)
    batches: list[Batch] = list(read_positions(saved.positions_path))
    return {batch[:2]: batch[2] for batch in batches}


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], Positions]:
    with pytest.MonkeyPatch.context() as patch:
        return scored(patch, QFID_DATA_DIR=str(tmp_path_factory.mktemp("fast")))


@pytest.mark.parametrize("variable", ["QFID_PIPELINE", "QFID_QUANTIZER"])
def test_a_fast_way_gives_the_bits_of_the_plain_one(
    fast: dict[tuple[str, int], Positions], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    plain = scored(monkeypatch, **{variable: "plain"})
    assert plain.keys() == fast.keys() and len(plain) == 4 * 20
    for key, positions in plain.items():
        for field in fields(Positions):
            got, expected = getattr(fast[key], field.name), getattr(positions, field.name)
            np.testing.assert_array_equal(got, expected, f"{key} {field.name}")


def test_the_metrics_kernel_gives_the_plain_figures(
    fast: dict[tuple[str, int], Positions], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = scored(monkeypatch, QFID_METRICS="plain")
    for key, positions in plain.items():
        for name in ("kl", "nll_ref", "nll_quant", "top_ref_logprob", "top_quant_logprob"):
            got, expected = getattr(fast[key], name), getattr(positions, name)
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float16, mx.float32])
def test_the_kernels_are_used(dtype: mx.Dtype) -> None:
    shell = "cuda" if mx.cuda.is_available() else "metal"
    kernel, why = usable_kernel(shell, dtype)
    assert kernel is not None, why
    for group in (32, 64, 128):
        found, why = usable_quantizer(shell, dtype, group)
        assert found is not None, why
