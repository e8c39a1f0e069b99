"""On a GPU alone, with QFID_DEVICE=gpu: every fast way against the plain one."""

from __future__ import annotations

import os
from dataclasses import fields, replace

import mlx.core as mx
import numpy as np
import pytest
from evaluated_trial import trial
from tiny_configs import tiny_config
from tiny_models import build_module
from tiny_runs import finished, planned

from scorer.device.backend import start_backend
from scorer.device.memory import device_memory
from scorer.lanes.kv.generate_rule import caches_of_two_tokens, where_generate_runs
from scorer.metrics.definition import Reference
from scorer.metrics.fused_kernel import FusedKernel
from scorer.metrics.fused_selftest import hard_rows, tile_scalars, usable_kernel
from scorer.quantizers.affine_fused import usable_quantizer
from scorer.runs.grid import CellKey
from scorer.runs.listing import find_run
from scorer.runs.positions_file import read_positions
from scorer.score import score
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import parse_settings
from scorer.stats.positions import Positions

pytestmark = pytest.mark.skipif(
    os.environ["QFID_DEVICE"] == "cpu", reason="QFID_DEVICE=gpu runs it, where there is a GPU"
)

JOB = Job(
    "demo",
    parse_settings("8,4,k8v3:32,4@64", path="dequantized"),
    CorpusSpec("builtin"),
    chunk_length=128,
    # Whole batches.
    max_chunks=24,
    batch=8,
)


def scored(monkeypatch: pytest.MonkeyPatch, **variables: str) -> dict[CellKey, Positions]:
    with monkeypatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        events = list(score(JOB))
        assert finished(events).complete
        saved = find_run(planned(events).run)
    return {chunk.key: chunk.positions for chunk in read_positions(saved.positions_path)}


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> dict[CellKey, Positions]:
    with pytest.MonkeyPatch.context() as patch:
        return scored(patch, QFID_DATA_DIR=str(tmp_path_factory.mktemp("fast")))


@pytest.mark.parametrize("variable", ["QFID_PIPELINE", "QFID_QUANTIZER"])
def test_a_fast_way_gives_the_bits_of_the_plain_one(
    fast: dict[CellKey, Positions], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    plain = scored(monkeypatch, **{variable: "plain"})
    assert plain.keys() == fast.keys() and len(plain) == 4 * 24
    for key, positions in plain.items():
        for field in fields(Positions):
            got, expected = getattr(fast[key], field.name), getattr(positions, field.name)
            np.testing.assert_array_equal(got, expected, f"{key} {field.name}")


def test_the_metrics_kernel_gives_the_plain_figures(
    fast: dict[CellKey, Positions], monkeypatch: pytest.MonkeyPatch
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


def metrics_kernel(dtype: mx.Dtype) -> FusedKernel:
    kernel, why = usable_kernel("cuda" if mx.cuda.is_available() else "metal", dtype)
    assert kernel is not None, why
    return kernel


def compared(kernel: FusedKernel, p: mx.array, q: mx.array, rows: list[int]) -> None:
    """The kernel's scalars of some rows against the float64 definition."""
    targets = np.arange(p.shape[0]) % p.shape[1]
    asked = mx.array(targets.astype(np.int32))
    made = kernel.against(kernel.reference(p, asked), p, q, asked)
    chosen = mx.array(rows)
    got = tile_scalars(np.array(made.values[chosen]), np.array(made.tops[chosen]))
    wide = [np.array(side[chosen].astype(mx.float32)) for side in (p, q)]
    with np.errstate(all="ignore"):
        expected = Reference(wide[0], targets[rows], plain=True).compare(wide[1])
    for name in ("kl", "nll_ref", "nll_quant", "top_ref_logprob", "top_quant_logprob"):
        np.testing.assert_allclose(
            getattr(got, name), getattr(expected, name), rtol=1e-5, atol=1e-5, err_msg=name
        )
    ordered = np.isfinite(expected.kl)
    for name in ("top_ref", "top_quant"):
        np.testing.assert_array_equal(
            getattr(got, name)[ordered], getattr(expected, name)[ordered], name
        )


@pytest.mark.parametrize("columns", [2, 3, 255, 257, 4099, 32_000, 128_256, 262_144])
@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float16, mx.float32])
def test_hard_rows_of_any_width(dtype: mx.Dtype, columns: int) -> None:
    p, q = (mx.array(rows).astype(dtype) for rows in hard_rows(columns))
    compared(metrics_kernel(dtype), p, q, list(range(p.shape[0])))


def test_more_elements_than_32_bits_count() -> None:
    shape = 17_000, 131_072
    if device_memory("cuda" if mx.cuda.is_available() else "metal").available < 32 << 30:
        pytest.skip("the device has too little memory free")
    p = mx.random.normal(shape, dtype=mx.bfloat16, scale=2.0)
    q = p + mx.random.normal(shape, dtype=mx.bfloat16, scale=0.1)
    mx.eval(p, q)
    assert p.size > 2**31
    compared(metrics_kernel(mx.bfloat16), p, q, [0, 1, 8191, 8192, 16_383, 16_384, 16_999])


# Queries that share key heads, one key head for all, a key head each; raises; latent.
@pytest.mark.parametrize(
    "architecture", ["llama", "gpt_bigcode", "gpt2", "minicpm3", "gpt_oss", "deepseek_v3"]
)
def test_where_mlx_lm_runs_a_setting_is_told_as_a_trial_tells_it(architecture: str) -> None:
    """A trial compiles a quantized matmul a width, so there is one width."""
    model = build_module(tiny_config(architecture))
    model.eval()
    setting, device = KVSetting(4, 4, 32), start_backend().kind
    filled = caches_of_two_tokens(model)
    assert where_generate_runs(model, setting, filled, device) == trial(model, setting)


WEIGHTS = Job(
    "demo",
    (
        *parse_settings("4:32", path="deployed"),
        *parse_settings("w8:32,w4:32"),
        *parse_settings("w4:32+4:32", path="deployed"),
    ),
    CorpusSpec("builtin"),
    chunk_length=128,
    max_chunks=8,
)


def stored(job: Job) -> dict[CellKey, Positions]:
    events = list(score(job))
    assert finished(events).complete, events[-1]
    saved = find_run(planned(events).run)
    return {chunk.key: chunk.positions for chunk in read_positions(saved.positions_path)}


@pytest.mark.parametrize("batch", [1, 4])
def test_weights_made_here_give_the_same_bits_together_and_in_turns(batch: int) -> None:
    job = replace(WEIGHTS, batch=batch)
    together, turns = stored(job), stored(replace(job, one_at_a_time=True))
    assert together.keys() == turns.keys() and len(together) == 4 * 8
    for key, positions in together.items():
        for field in fields(Positions):
            got, expected = getattr(turns[key], field.name), getattr(positions, field.name)
            np.testing.assert_array_equal(got, expected, f"{key} {field.name}")


def test_weights_of_fewer_bits_drift_more_here_too() -> None:
    found = stored(replace(WEIGHTS, batch=4))
    means: dict[str, list[float]] = {}
    for key, positions in found.items():
        means.setdefault(key.setting, []).append(float(positions.kl.mean()))
    kl = {name: float(np.mean(values)) for name, values in means.items()}
    assert all(np.isfinite(value) and value > 0 for value in kl.values())
    assert kl["w8:32"] < kl["w4:32"]
