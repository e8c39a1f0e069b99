"""What is guessed of a model's shape from config.json alone, until it is measured."""

from __future__ import annotations

from typing import Any

import pytest
from fake_hub_cache import LLAMA
from hypothesis import given
from hypothesis import strategies as st

from scorer.common.errors import InputError
from scorer.models.config_geometry import (
    guessed_geometry,
    hidden_size,
    max_context,
    query_heads,
    vocab_size,
)
from scorer.spec.geometry import KVGeometry, KVLayer


def test_usual_names_give_a_cache_a_layer() -> None:
    assert guessed_geometry(LLAMA) == KVGeometry((KVLayer(3, 64, 64),) * 30, 30, exact=False)
    assert (hidden_size(LLAMA), query_heads(LLAMA), vocab_size(LLAMA)) == (576, 9, 49152)
    assert max_context(LLAMA) == 8192


def test_other_names_do_too() -> None:
    config = {"n_embd": 256, "n_layer": 2, "n_head": 4, "n_ctx": 99}
    assert guessed_geometry(config).layers == (KVLayer(4, 64, 64),) * 2
    assert (hidden_size(config), query_heads(config), max_context(config)) == (256, 4, 99)


YARN = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}


@pytest.mark.parametrize(
    ("changes", "tokens"),
    [
        ({"max_position_embeddings": 64}, 64),
        ({"max_position_embeddings": 64.0}, 64),
        *[({"max_position_embeddings": absent}, None)
          for absent in (-1, 0, None, True, "64", 1e30, 2**80, {"__float__": "Infinity"})],
        ({"max_position_embeddings": -1, "n_positions": 99}, 99),
        # Stretched: the original length times the factor, whichever of both is stated.
        ({"max_position_embeddings": 64, "rope_scaling": YARN}, 256),
        ({"max_position_embeddings": 256, "rope_scaling": YARN}, 256),
        ({"max_position_embeddings": 300, "rope_scaling": YARN}, 300),
        ({"max_position_embeddings": 64, "rope_scaling": {"type": "linear", "factor": 2}}, 128),
        ({"max_position_embeddings": 64, "rope_parameters": {"rope_theta": 1e4} | YARN}, 256),
        ({"max_position_embeddings": 64,
          "rope_parameters": {"full_attention": YARN, "sliding_attention": {}}}, 256),
        ({"max_position_embeddings": -1, "rope_scaling": YARN}, 256),
        ({"max_position_embeddings": 64,
          "rope_scaling": {"rope_type": "default", "factor": 4.0}}, 64),
        *[({"max_position_embeddings": 64, "rope_scaling": YARN | {"factor": factor}}, 64)
          for factor in (1.0, 0.5, -4, "4", None, float("inf"), float("nan"))],
    ],
)  # fmt: skip
def test_the_longest_context(changes: dict[str, Any], tokens: int | None) -> None:
    config = {key: value for key, value in LLAMA.items() if key != "max_position_embeddings"}
    assert max_context(config | changes) == tokens
    assert max_context({"text_config": config | changes}) == tokens


def test_a_stated_head_dimension_counts() -> None:
    assert guessed_geometry({**LLAMA, "head_dim": 128}).layers == (KVLayer(3, 128, 128),) * 30


def test_a_wrapper_is_read_by_its_text_config() -> None:
    config = {
        "model_type": "gemma3",
        "text_config": {"num_hidden_layers": 6, "num_attention_heads": 8, "head_dim": 256},
        "vision_config": {"num_hidden_layers": 27},
        "vocab_size": 300,
    }
    assert guessed_geometry(config).layers == (KVLayer(8, 256, 256),) * 6
    assert vocab_size(config) == 300


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"num_hidden_layers": 4, "num_attention_heads": 4},
        {"num_hidden_layers": 4, "hidden_size": 4, "num_attention_heads": 8},
        {"num_hidden_layers": 4, "head_dim": 64, "num_kv_heads": [1, 2, 2, 4]},
        {"num_attention_heads": 4, "head_dim": 64},
    ],
)
def test_where_a_size_is_not_stated_there_is_no_guess(config: dict[str, Any]) -> None:
    guess = guessed_geometry(config)
    assert guess == KVGeometry((), config.get("num_hidden_layers", 0), exact=False)
    assert guess.bytes_per_token_16bit() == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 0),
        ("num_hidden_layers", -3),
        ("num_hidden_layers", 10**12),
        ("num_hidden_layers", True),
        ("num_hidden_layers", "30"),
        ("num_hidden_layers", 30.0),
        ("num_attention_heads", [9]),
        ("num_key_value_heads", {"a": 1}),
        ("head_dim", -64),
        ("head_dim", 1 << 30),
        ("hidden_size", "`\n\x1b[31m"),
        ("text_config", 3),
        ("num_hidden_layers", int("9" * 400)),
    ],
)
def test_a_value_that_lies_is_one_clear_line(key: str, value: Any) -> None:
    with pytest.raises(InputError) as caught:
        guessed_geometry({**LLAMA, key: value})
    message = caught.value.message
    assert "\n" not in message and "\x1b" not in message and len(message) < 160
    assert caught.value.hint


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-2, 300)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["full_attention", "sliding_attention", "mamba", "*", "attention"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
_KEYS = st.sampled_from(
    sorted(
        set(LLAMA)
        | set(
            "head_dim layer_types sliding_window sliding_window_pattern kv_lora_rank v_head_dim "
            "qk_rope_head_dim qk_nope_head_dim text_config n_embd n_head n_layer attn_config "
            "num_kv_heads block_configs hybrid_layer_pattern block_types full_attn_idxs "
            "linear_attn_config layers_block_type hybrid_override_pattern index_head_dim "
            "sparse_attention_config num_kv_shared_layers layer_group_size num_loops "
            "attention_other_setting full_attention_interval mamba_step num_layers".split()
        )
    )
)


@given(st.dictionaries(_KEYS, _JSON, max_size=6), st.booleans())
def test_any_config_gives_a_guess_or_an_input_error(config: dict[str, Any], complete: bool) -> None:
    config = {**LLAMA, **config} if complete else config
    try:
        caches = guessed_geometry(config)
        sizes = [max_context(config), vocab_size(config), hidden_size(config), query_heads(config)]
    except InputError as error:
        assert "\n" not in error.message
        return
    assert not caches.exact
    assert all(layer.kv_heads >= 1 and layer.k_dim >= 1 for layer in caches.layers)
    assert caches.bytes_per_token_16bit(512) >= 0
    assert all(size is None or size > 0 for size in sizes)
