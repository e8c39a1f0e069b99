"""The geometry measured from config.json is that of the caches mlx-lm fills."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from measured_folders import outcome_of
from mlx_lm.models.cache import make_prompt_cache
from tiny_configs import architectures, tiny_config
from tiny_models import build_module

from scorer.common.errors import InputError
from scorer.demo import demo_model_path
from scorer.lm.measured_geometry import measure_folder, measured_geometry
from scorer.lm.split_model import SplitModel
from scorer.models.architectures import refusal
from scorer.models.config_geometry import guessed_geometry
from scorer.models.kept_geometry import Measured
from scorer.spec.geometry import KVGeometry, KVLayer

SIZES = {
    "hidden_size": 256,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
}
LISTED = [0, 2]


def measured(folder: Path, config: dict[str, Any]) -> Measured:
    outcome = outcome_of(folder, config)
    assert isinstance(outcome, Measured), outcome
    return outcome


def filled(caches: Any) -> Iterator[tuple[int, int, int, int | None]]:
    """KV heads, key and value dimension and window of every cache that holds keys."""
    for cache in caches:
        if isinstance(cache, list | tuple):
            yield from filled(cache)
        elif hasattr(cache, "caches"):
            yield from filled(cache.caches)
        elif isinstance(keys := getattr(cache, "keys", None), mx.array):
            window = getattr(cache, "max_size", None) or getattr(cache, "chunk_size", None)
            yield keys.shape[1], keys.shape[-1], cache.values.shape[-1], window


def shapes(geometry: KVGeometry) -> list[tuple[int, int, int, int | None]]:
    return [(layer.kv_heads, layer.k_dim, layer.v_dim, layer.window) for layer in geometry.layers]


def assert_as_built(folder: Path, config: dict[str, Any]) -> None:
    """Sizes measured without weights are those of a model that was really run."""
    model: Any = build_module(config)
    caches = make_prompt_cache(model)
    logits = model(mx.arange(24)[None], cache=caches)
    mx.eval(logits)
    found = measured(folder, config)
    assert shapes(found.geometry) == list(filled(caches))
    assert found.geometry.total_layers == len(model.layers)
    assert found.geometry.exact
    assert found.vocab == logits.shape[-1]
    if found.geometry.layers:
        # A loaded model measures as its skeleton does.
        assert measured_geometry(SplitModel(model)).layers == found.geometry.layers
    else:
        with pytest.raises(InputError, match="keeps no keys and values"):
            measured_geometry(SplitModel(model))


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("gpt_bigcode", {}),
        ("gpt_bigcode", {"multi_query": False}),
        ("plamo", SIZES),
        ("afm7", {"num_layers": 6, "num_kv_reuse_layers": 2}),
        ("jamba", SIZES | {"attn_layer_offset": 1, "attn_layer_period": 4}),
        ("granitemoehybrid", {"layer_types": ["mamba", "attention", "mamba", "mamba"]}),
        ("lfm2", SIZES | {"full_attn_idxs": [1, 4], "layer_types": None, "block_dim": 256}),
        ("baichuan_m1", SIZES | {"sliding_window_layers": LISTED, "num_swa_attention_heads": 4}),
        ("baichuan_m1", SIZES | {"sliding_window_layers": LISTED, "num_swa_key_value_heads": 4}),
        ("dbrx", {}),
        ("lfm2_moe", {}),
        ("mamba", {}),
        ("nemotron-nas", {}),
        ("recurrent_gemma", {}),
    ],
)
def test_it_is_what_the_built_model_fills(
    tmp_path: Path, architecture: str, changes: dict[str, Any]
) -> None:
    assert_as_built(tmp_path, tiny_config(architecture, **changes))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", architectures())
def test_every_architecture(tmp_path: Path, architecture: str) -> None:
    if reason := refusal(architecture):
        pytest.skip(reason)
    assert_as_built(tmp_path, tiny_config(architecture))


def runs(*counted: tuple[int, KVLayer]) -> tuple[KVLayer, ...]:
    return tuple(layer for count, layer in counted for _ in range(count))


SLIDING, FULL = "sliding_attention", "full_attention"
GPT_OSS = KVLayer(8, 64, 64, 128, "sliding"), KVLayer(8, 64, 64)
GEMMA3 = KVLayer(8, 256, 256, 1024, "sliding"), KVLayer(8, 256, 256)
LATENT = KVLayer(1, 512, 64, kind="latent")
MOE = {"moe_intermediate_size": 2048, "n_routed_experts": 256, "num_experts_per_tok": 8}

REAL: dict[str, tuple[dict[str, Any], tuple[KVLayer, ...], int]] = {
    "SmolLM2 135M": (
        {
            "model_type": "llama",
            "hidden_size": 576,
            "num_hidden_layers": 30,
            "intermediate_size": 1536,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "rms_norm_eps": 1e-5,
            "vocab_size": 49152,
        },
        runs((30, KVLayer(3, 64, 64))),
        49152,
    ),
    "Llama 3 70B": (
        {
            "model_type": "llama",
            "hidden_size": 8192,
            "num_hidden_layers": 80,
            "intermediate_size": 28672,
            "num_attention_heads": 64,
            "num_key_value_heads": 8,
            "rms_norm_eps": 1e-5,
            "vocab_size": 128256,
        },
        runs((80, KVLayer(8, 128, 128))),
        128256,
    ),
    "Qwen2.5 0.5B": (
        {
            "model_type": "qwen2",
            "hidden_size": 896,
            "num_hidden_layers": 24,
            "intermediate_size": 4864,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "rms_norm_eps": 1e-6,
            "vocab_size": 151936,
            "sliding_window": 32768,
            "use_sliding_window": False,
        },
        runs((24, KVLayer(2, 64, 64))),
        151936,
    ),
    "DeepSeek V3": (
        {
            "model_type": "deepseek_v3",
            "hidden_size": 7168,
            "num_hidden_layers": 61,
            "intermediate_size": 18432,
            "num_attention_heads": 128,
            "num_key_value_heads": 128,
            "kv_lora_rank": 512,
            "q_lora_rank": 1536,
            "qk_rope_head_dim": 64,
            "qk_nope_head_dim": 128,
            "v_head_dim": 128,
            "n_group": 8,
            "topk_group": 4,
            "n_shared_experts": 1,
            "first_k_dense_replace": 3,
            "vocab_size": 129280,
            **MOE,
        },
        runs((61, LATENT)),
        129280,
    ),
    "DeepSeek V3.2": (
        {
            "model_type": "deepseek_v32",
            "hidden_size": 7168,
            "num_hidden_layers": 3,
            "intermediate_size": 18432,
            "num_attention_heads": 128,
            "num_key_value_heads": 128,
            "kv_lora_rank": 512,
            "q_lora_rank": 1536,
            "qk_rope_head_dim": 64,
            "qk_nope_head_dim": 128,
            "v_head_dim": 128,
            "n_group": 8,
            "topk_group": 4,
            "n_shared_experts": 1,
            "first_k_dense_replace": 3,
            "index_head_dim": 128,
            "vocab_size": 129280,
            **MOE,
        },
        (LATENT, KVLayer(1, 128, 128, kind="index")) * 3,
        129280,
    ),
    "Gemma 3 12B": (
        {
            "model_type": "gemma3",
            "text_config": {
                "model_type": "gemma3_text",
                "hidden_size": 3840,
                "num_hidden_layers": 48,
                "intermediate_size": 15360,
                "num_attention_heads": 16,
                "num_key_value_heads": 8,
                "head_dim": 256,
                "sliding_window": 1024,
            },
        },
        (*(GEMMA3[0],) * 5, GEMMA3[1]) * 8,
        262208,
    ),
    "gpt-oss 120B": (
        {
            "model_type": "gpt_oss",
            "hidden_size": 2880,
            "num_hidden_layers": 36,
            "intermediate_size": 2880,
            "num_attention_heads": 64,
            "num_key_value_heads": 8,
            "head_dim": 64,
            "num_local_experts": 128,
            "num_experts_per_tok": 4,
            "sliding_window": 128,
            "layer_types": [SLIDING, FULL] * 18,
            "vocab_size": 201088,
        },
        GPT_OSS * 18,
        201088,
    ),
    "DBRX": (
        {
            "model_type": "dbrx",
            "vocab_size": 100352,
            "d_model": 6144,
            "n_layers": 40,
            "n_heads": 48,
            "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4},
            "attn_config": {"kv_n_heads": 8, "clip_qkv": 8, "rope_theta": 500000.0},
        },
        runs((40, KVLayer(8, 128, 128))),
        100352,
    ),
    "Llama 4 Scout": (
        {
            "model_type": "llama4",
            "text_config": tiny_config("llama4")["text_config"]
            | {
                "hidden_size": 5120,
                "num_hidden_layers": 48,
                "num_attention_heads": 40,
                "num_key_value_heads": 8,
                "head_dim": 128,
                "attention_chunk_size": 8192,
                "vocab_size": 202048,
            },
        },
        (*(KVLayer(8, 128, 128, 8192, "chunked"),) * 3, KVLayer(8, 128, 128)) * 12,
        202048,
    ),
    "Mistral 4 as a picture model": (
        {
            "model_type": "mistral3",
            "text_config": tiny_config("mistral4")
            | {"num_hidden_layers": 8, "kv_lora_rank": 256, "qk_rope_head_dim": 64},
        },
        runs((8, KVLayer(1, 256, 64, kind="latent"))),
        320,
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_models_of_any_size_are_measured_in_no_memory(tmp_path: Path, name: str) -> None:
    config, layers, vocab = REAL[name]
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    found = measured(tmp_path, config)
    assert found.geometry.layers == layers
    assert found.vocab == vocab
    # Constants of rotary embeddings; a single matrix of these models is larger.
    assert mx.get_peak_memory() - before < 2 << 20


def test_what_it_costs_smollm2(tmp_path: Path) -> None:
    assert measured(tmp_path, REAL["SmolLM2 135M"][0]).geometry.bytes_per_token_16bit() == 23_040


def test_the_demo_is_what_its_config_says() -> None:
    config = json.loads((demo_model_path() / "config.json").read_text("utf-8"))
    _, outcome = measure_folder(demo_model_path())
    assert isinstance(outcome, Measured)
    assert outcome.geometry.layers == guessed_geometry(config).layers
    assert outcome.geometry.total_layers == guessed_geometry(config).total_layers


def test_measuring_leaves_mlx_as_it_was(tmp_path: Path) -> None:
    def evaluates(x: mx.array) -> mx.array:
        x.item()
        return x

    measured(tmp_path, tiny_config("dbrx"))
    # Compiling is off in these tests: a function runs as it is, and may look at values.
    mx.compile(evaluates)(mx.array(1))
    from mlx_lm.models import dbrx

    model = build_module(tiny_config("dbrx"))
    model.eval()
    blocks = [m for m in model.modules() if isinstance(m, dbrx.SparseMoeBlock)]
    x = mx.ones((1, 2, 128))
    assert not mx.allclose(blocks[0](x), x)
