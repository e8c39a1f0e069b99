"""The geometry read off config.json is that of the caches mlx-lm fills."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import make_prompt_cache
from scorer.models.config_geometry.read import known_architectures, read_geometry
from tiny_configs import tiny_config
from tiny_models import build_module

from scorer.models.architectures import refusal

SIZES = {
    "hidden_size": 256,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
}
LISTED = [0, 2]


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


def assert_as_built(config: dict[str, Any]) -> None:
    model = build_module(config)
    caches = make_prompt_cache(model)
    mx.eval(model(mx.arange(24)[None], cache=caches))
    geometry = read_geometry(config, config["model_type"])
    read = [(layer.kv_heads, layer.k_dim, layer.v_dim, layer.window) for layer in geometry.layers]
    assert read == list(filled(caches))
    assert geometry.total_layers == len(model.layers)


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
        ("nemotron-nas", {}),
        ("recurrent_gemma", {}),
    ],
)
def test_dense_by_name_and_special_by_nature(architecture: str, changes: dict[str, Any]) -> None:
    assert_as_built(tiny_config(architecture, **changes))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", sorted(known_architectures()))
def test_every_architecture(architecture: str) -> None:
    if reason := refusal(architecture):
        pytest.skip(reason)
    assert_as_built(tiny_config(architecture))
