"""One tiny random model of each kind of cache, scored from end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from architecture_checks import (
    STRESS,
    as_numpy,
    check_architecture,
    check_quantized_weights,
    job_of,
    prepared,
    refused,
)
from tiny_configs import tiny_config
from tiny_models import write_text, write_tiny_model
from tiny_values import FULL, SLIDING

from scorer.common.folders import runs_folder
from scorer.lanes.kv.lane import CODES, DEQUANTIZED, MLX_LM
from scorer.lm.caches import fresh_caches
from scorer.spec.events import Failed, Finished, parse_line

OWN_PATH = {MLX_LM, CODES}
ONLY_QUANTIZER = {DEQUANTIZED}
SLIDING_LLAMA: dict[str, Any] = {"layer_types": [SLIDING, FULL] * 2, "sliding_window": 16}
STATES = {"ArraysCache": 2}

# The slow tests try every architecture; here is one of each way to keep keys and values.
# Architecture, changes of its config, caches of K and V, skipped layers, whether mlx-lm runs it,
# arithmetic of the deployed path under --kernel mlx-lm.
KINDS = [
    pytest.param("llama", {}, 4, {}, True, OWN_PATH, id="dense"),
    pytest.param(
        "qwen2", {}, 4, {}, True, OWN_PATH, id="biases on Q, K and V", marks=pytest.mark.slow
    ),
    pytest.param(
        "mixtral", {}, 4, {}, True, OWN_PATH, id="mixture of experts", marks=pytest.mark.slow
    ),
    pytest.param("gpt_bigcode", {}, 4, {}, True, OWN_PATH, id="one KV head for all"),
    pytest.param("minicpm3", {}, 4, {}, True, OWN_PATH, id="latent, expanded, V narrower"),
    pytest.param("deepseek_v3", {}, 4, {}, False, ONLY_QUANTIZER, id="latent"),
    pytest.param("deepseek_v32", {}, 8, {}, False, ONLY_QUANTIZER, id="latent with index"),
    pytest.param("gemma3_text", {}, 4, {}, False, ONLY_QUANTIZER, id="sliding window"),
    pytest.param(
        "llama",
        SLIDING_LLAMA,
        4,
        {},
        False,
        ONLY_QUANTIZER,
        id="llama with windows",
        marks=pytest.mark.slow,
    ),
    pytest.param("llama4", {}, 4, {}, False, ONLY_QUANTIZER, id="chunked"),
    pytest.param("gpt_oss", {}, 4, {}, False, ONLY_QUANTIZER, id="sinks"),
    pytest.param("gemma2", {}, 4, {}, False, ONLY_QUANTIZER, id="soft-capped scores"),
    pytest.param("gemma4", {}, 4, {}, False, ONLY_QUANTIZER, id="shared K and V"),
    pytest.param(
        "jamba",
        {},
        2,
        STATES,
        True,
        OWN_PATH,
        id="state space in half of the layers",
        marks=pytest.mark.slow,
    ),
    pytest.param("qwen3_next", {}, 2, STATES, True, OWN_PATH, id="linear attention in half"),
    pytest.param("lfm2", {}, 2, STATES, True, OWN_PATH, id="convolution in half of the layers"),
    pytest.param("falcon_h1", {}, 4, {}, False, {CODES}, id="state and K/V in every layer"),
    pytest.param("minimax_m3_vl", {}, 7, {}, False, ONLY_QUANTIZER, id="values of width 0"),
    pytest.param(
        "nemotron-nas", {}, 2, {"never filled": 1}, True, OWN_PATH, id="a cache nothing fills"
    ),
]


@pytest.mark.parametrize(
    ("architecture", "changes", "caches", "skipped", "runs", "arithmetic"), KINDS
)
def test_a_model_of_each_kind_scores(
    architecture: str,
    changes: dict[str, Any],
    caches: int,
    skipped: dict[str, int],
    runs: bool,
    arithmetic: set[str],
    tmp_path: Path,
) -> None:
    model = write_tiny_model(tmp_path / architecture, architecture, **changes)
    found = check_architecture(model, write_text(tmp_path), thorough=False)
    row = found.rows["8:32"]
    assert found.caches == caches
    assert row["kv_layers_skipped"] == skipped
    assert found.runs is runs
    assert set(found.arithmetic.values()) == arithmetic
    assert row["arithmetic"] == "quantize, dequantize, attention"
    assert row["measured_kv_bytes_per_token"] is None
    if skipped:
        ((kind, count),) = skipped.items()
        quantized = found.total - count
        partial = [w for w in row["warnings"] if w.startswith("partial coverage")]
        assert len(partial) == 1
        assert f"{quantized} of {found.total} layers" in partial[0] and kind in partial[0]


@pytest.mark.parametrize(
    ("architecture", "bits"),
    [
        pytest.param("llama", 4, marks=pytest.mark.slow),
        ("llama", 8),
        ("mixtral", 4),
        ("deepseek_v3", 4),
        ("seed_oss", 4),
    ],
)
def test_quantized_weights(architecture: str, bits: int, tmp_path: Path) -> None:
    """Experts, latent projections and a tied quantized embedding among them."""
    model = write_tiny_model(tmp_path / "model", architecture, bits=bits)
    text = write_text(tmp_path)
    ready = prepared(job_of(model, text), tmp_path / "tokens")
    assert ready.model.dequantized and ready.model.dtype == mx.float32
    check_quantized_weights(model, text)


def test_quantized_weights_are_the_quantized_models(tmp_path: Path) -> None:
    """Dense float32 weights compute what mlx-lm's quantized matmuls do, not the full model."""
    from mlx_lm.utils import load_model

    model, text = write_tiny_model(tmp_path / "model", "llama", bits=4), write_text(tmp_path)
    ready = prepared(job_of(model, text), tmp_path / "tokens")
    ids = mx.array(ready.corpus.ids[:1, :-1])
    hidden = ready.reference.hidden(ids)
    ours = as_numpy(ready.reference.logits(hidden, 0, ids.shape[1]))
    quantized, _ = load_model(model)
    theirs = as_numpy(quantized(ids, cache=fresh_caches(quantized)))
    full = write_tiny_model(tmp_path / "full", "llama")
    dense, _ = load_model(full)
    unquantized = as_numpy(dense(ids, cache=fresh_caches(dense)))
    assert abs(ours - theirs).max() < 1e-4 < abs(ours - unquantized).max()


@pytest.mark.parametrize("architecture", ["mamba", "mamba2", "rwkv7"])
def test_a_model_without_keys_and_values_is_refused(architecture: str, tmp_path: Path) -> None:
    model, text = write_tiny_model(tmp_path / architecture, architecture), write_text(tmp_path)
    message = refused(model, text)
    assert f"`{architecture}` keeps no keys and values" in message
    assert not runs_folder().exists() or not any(runs_folder().iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["gemma3_text", "granitemoehybrid"])
def test_the_child_process_scores_them_too(architecture: str, tmp_path: Path) -> None:
    model, text = write_tiny_model(tmp_path / architecture, architecture), write_text(tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "scorer"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None and child.stdout is not None and child.stderr is not None
    with child:
        # The input stays open: its end would tell the child that nobody listens any more.
        child.stdin.write(json.dumps(job_of(model, text, STRESS).to_json()) + "\n")
        child.stdin.flush()
        events = [parse_line(line) for line in child.stdout]
        last = events[-1]
        assert isinstance(last, Finished), child.stderr.read()
    rows = {row["setting"]: row for row in last.report["settings"]}
    assert 0 < rows["8:32"]["kl"]["mean"] < rows["2:32"]["kl"]["mean"]


def test_a_group_that_does_not_divide_one_layers_dimension_is_refused(tmp_path: Path) -> None:
    """Gemma 4's full layers have heads of 64 elements, its sliding ones of 32."""
    model, text = write_tiny_model(tmp_path / "model", "gemma4"), write_text(tmp_path)
    from scorer.score import score

    (*_, last) = score(job_of(model, text, "8:64"))
    assert "group size 64 does not divide the head dimension 32" in str(last)
    assert "settings that fit: `8:32`" in str(last)


@pytest.mark.parametrize(
    ("architecture", "changes", "settings", "message"),
    [
        ("gemma4", {}, "8:64", "group size 64 does not divide the head dimension 32"),
        ("mamba", {}, "8:32", "`mamba` keeps no keys and values"),
        ("llama", {"num_key_value_heads": 3}, "8:32", "cannot run what its config.json describes"),
    ],
)
def test_what_its_config_tells_is_refused_before_a_weight_is_read(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    architecture: str,
    changes: dict[str, Any],
    settings: str,
    message: str,
) -> None:
    from scorer.score import score

    model, text = write_tiny_model(tmp_path / "model", "llama"), write_text(tmp_path)
    config = json.dumps(tiny_config(architecture, **changes))
    (model / "config.json").write_text(config, "utf-8")
    monkeypatch.setattr("scorer.engine.preparation.load", lambda *_, **__: pytest.fail("loaded"))
    for _ in range(2):
        # The second time from what was kept.
        (*_, last) = score(job_of(model, text, settings))
        assert isinstance(last, Failed) and last.exit_code == 2
        assert message in last.message and "\n" not in last.message
