"""The shape of the KV cache and its cost, from config.json alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_hub_cache import LLAMA
from hypothesis import given, settings
from hypothesis import strategies as st
from scorer.models.config_geometry.read import (
    known_architectures,
    max_context,
    read_geometry,
    vocab_size,
)

from scorer.common.errors import InputError
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.settings.kv import BITS, GROUP_SIZES, KVSetting

SIZES = {
    "hidden_size": 1024,
    "num_hidden_layers": 8,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
}


def geometry(architecture: str, **config: Any) -> KVGeometry:
    return read_geometry({"model_type": architecture, **config}, architecture)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [("8", 12_240), ("6", 9_360), ("4:32", 7_200), ("4", 6_480), ("2", 3_600), ("k8v4", 9_360)],
)
def test_published_costs_of_smollm2(setting: str, expected: float) -> None:
    cost = read_geometry(LLAMA, "llama")
    assert cost.bytes_per_token(KVSetting.parse(setting)) == expected
    assert cost.bytes_per_token_16bit() == 23_040


def test_one_side_at_full_precision_costs_two_bytes_an_element() -> None:
    one = KVGeometry((KVLayer(2, 64, 128),), 1)
    assert one.bytes_per_token(KVSetting(16, 4, 64)) == 2 * (64 * 2 + 128 * (0.5 + 4 / 64))


def test_sliding_layers_count_the_tokens_they_keep() -> None:
    full, sliding = KVLayer(1, 64, 64), KVLayer(1, 64, 64, 512, "sliding")
    mixed = KVGeometry((full, sliding), 2)
    assert mixed.windowed
    assert mixed.bytes_per_token_16bit() == 512
    assert mixed.bytes_per_token_16bit(512) == 512
    assert mixed.bytes_per_token_16bit(1024) == 256 + 256 * 512 / 1024
    assert not KVGeometry((full,), 1).windowed


@given(
    st.lists(
        st.builds(
            KVLayer,
            st.integers(1, 64),
            st.integers(1, 8).map(lambda n: n * 32),
            st.integers(0, 8).map(lambda n: n * 32),
            st.none() | st.integers(1, 4096),
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 100_000),
    st.sampled_from(BITS),
    st.sampled_from(GROUP_SIZES),
)
@settings(max_examples=200)
def test_costs_are_ordered(layers: list[KVLayer], context: int, bits: int, group: int) -> None:
    caches = KVGeometry(tuple(layers), len(layers))
    setting = KVSetting(bits, bits, group)
    assert 0 < caches.bytes_per_token(setting, context) < caches.bytes_per_token_16bit(context)
    assert caches.bytes_per_token(setting, context) <= caches.bytes_per_token(setting) + 1e-6
    stored = [
        layer.kv_heads * (layer.k_dim + layer.v_dim) * 2 * min(context, layer.window or context)
        for layer in layers
    ]
    assert caches.bytes_per_token_16bit(context) * context == pytest.approx(sum(stored))


@pytest.mark.parametrize(
    ("dims", "groups"),
    [
        ((64, 64), (32, 64)),
        ((80, 80), ()),
        ((96, 96), (32,)),
        ((128, 128), (32, 64, 128)),
        ((512, 64), (32, 64)),
        ((192, 128), (32, 64)),
        ((128, 0), (32, 64, 128)),
    ],
)
def test_legal_groups_divide_both_sides(dims: tuple[int, int], groups: tuple[int, ...]) -> None:
    assert KVGeometry((KVLayer(1, *dims),), 1).legal_groups() == groups


def test_json_runs_equal_layers_together() -> None:
    full, sliding = KVLayer(4, 64, 64), KVLayer(4, 64, 64, 128, "sliding")
    data = KVGeometry((full, full, sliding), 3).to_json()
    assert [(run["count"], run["kind"]) for run in data["caches"]] == [(2, "full"), (1, "sliding")]
    assert json.loads(json.dumps(data)) == data


def kinds(caches: KVGeometry) -> str:
    return "".join(layer.kind[0] for layer in caches.layers)


@pytest.mark.parametrize(
    ("architecture", "config", "expected"),
    [
        ("llama", SIZES, [KVLayer(4, 64, 64)] * 8),
        ("llama", SIZES | {"num_key_value_heads": None}, [KVLayer(16, 64, 64)] * 8),
        ("qwen3", SIZES | {"head_dim": 128}, [KVLayer(4, 128, 128)] * 8),
        ("qwen2", SIZES | {"head_dim": 99}, [KVLayer(4, 64, 64)] * 8),
        ("gpt2", {"n_embd": 768, "n_head": 12, "n_layer": 3}, [KVLayer(12, 64, 64)] * 3),
        ("gpt_bigcode", {"n_embd": 768, "n_head": 12, "n_layer": 2}, [KVLayer(1, 64, 64)] * 2),
        ("phi", {}, [KVLayer(32, 80, 80)] * 32),
        ("plamo", SIZES, [KVLayer(2, 64, 64)] * 8),
        (
            "openelm",
            {"num_transformer_layers": 2, "head_dim": 64, "num_kv_heads": [3, 4]},
            [KVLayer(3, 64, 64), KVLayer(4, 64, 64)],
        ),
        (
            "deepseek_v3",
            {"num_hidden_layers": 2},
            [KVLayer(1, 512, 64, kind="latent")] * 2,
        ),
        ("deepseek_v2", {"num_hidden_layers": 2}, [KVLayer(32, 192, 128)] * 2),
        (
            "minicpm3",
            SIZES | {"qk_nope_head_dim": 64, "qk_rope_head_dim": 32},
            [KVLayer(16, 96, 64)] * 8,
        ),
        ("afm7", {"hidden_dim": 128, "num_heads": 4, "num_kv_heads": 2, "num_layers": 6,
                  "num_kv_reuse_layers": 2}, [KVLayer(2, 32, 32)] * 4),
        ("nanbeige", SIZES | {"num_loops": 2}, [KVLayer(4, 64, 64)] * 16),
        ("qwen3_next", SIZES | {"head_dim": 256}, [KVLayer(4, 256, 256)] * 2),
        (
            "nemotron_h",
            SIZES | {"num_hidden_layers": 5, "hybrid_override_pattern": "M*E-*"},
            [KVLayer(4, 64, 64)] * 2,
        ),
        ("jamba", SIZES | {"attn_layer_offset": 1, "attn_layer_period": 4},
         [KVLayer(4, 64, 64)] * 2),
        ("mamba", {"num_hidden_layers": 4}, []),
    ],
)  # fmt: skip
def test_caches_by_architecture(
    architecture: str, config: dict[str, Any], expected: list[KVLayer]
) -> None:
    caches = geometry(architecture, **config)
    assert list(caches.layers) == expected
    assert caches.exact


@pytest.mark.parametrize(
    ("architecture", "config", "expected"),
    [
        ("gemma3_text", {"num_hidden_layers": 7}, "sssssfs"),
        ("cohere2", {"num_hidden_layers": 5}, "sssfs"),
        ("gpt_oss", {"num_hidden_layers": 4}, "sfsf"),
        ("exaone4", SIZES | {"sliding_window_pattern": "LLG", "sliding_window": 9}, "ssfssfss"),
        ("llama4", SIZES | {"attention_chunk_size": 64}, "cccfcccf"),
        ("gemma4_text", {"num_hidden_layers": 10, "num_kv_shared_layers": 4}, "ssssfs"),
        ("step3p5", SIZES | {"head_dim": 64, "num_attention_groups": 2}, "sfsfsfsf"),
        (
            "granitemoehybrid",
            SIZES | {"num_hidden_layers": 3, "layer_types": ["mamba", "attention", "mamba"]},
            "f",
        ),
        ("lfm2", SIZES | {"full_attn_idxs": [1, 4]}, "ff"),
        ("baichuan_m1", SIZES | {"sliding_window_layers": [0, 2], "sliding_window": 8}, "sfsfffff"),
        ("llama", SIZES | {"sliding_window": 4096}, "ffffffff"),
    ],
)
def test_which_layers_slide_and_which_have_none(
    architecture: str, config: dict[str, Any], expected: str
) -> None:
    assert kinds(geometry(architecture, **config)) == expected


def test_wide_full_layers_of_gemma4() -> None:
    caches = geometry("gemma4_text", num_hidden_layers=5, num_kv_shared_layers=0)
    assert caches.layers[0] == KVLayer(1, 256, 256, 512, "sliding")
    assert caches.layers[4] == KVLayer(1, 512, 512)
    assert caches.total_layers == 5


def test_a_wrapper_is_read_by_its_text_config() -> None:
    config = {
        "model_type": "gemma3",
        "text_config": {"num_hidden_layers": 6, "hidden_size": 2560, "sliding_window": 1024},
        "vision_config": {"num_hidden_layers": 27},
    }
    caches = read_geometry(config, "gemma3")
    assert caches.layers[0] == KVLayer(4, 256, 256, 1024, "sliding")
    assert caches.layers[5] == KVLayer(4, 256, 256)
    assert vocab_size(config, "gemma3") == 262_208


def test_mistral3_is_what_its_text_config_says() -> None:
    text = SIZES | {"model_type": "mistral4", "kv_lora_rank": 256, "qk_rope_head_dim": 64}
    caches = geometry("mistral3", text_config=text)
    assert caches.layers == (KVLayer(1, 256, 64, kind="latent"),) * 8


def test_an_unknown_architecture_is_a_guess_and_says_so() -> None:
    caches = geometry("brand_new", n_embd=256, n_layer=2, n_head=4)
    assert caches.layers == (KVLayer(4, 64, 64),) * 2
    assert not caches.exact


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
        ("num_key_value_heads", 2),
        ("num_key_value_heads", {"a": 1}),
        ("head_dim", -64),
        ("hidden_size", 4),
        ("hidden_size", "`\n\x1b[31m"),
        ("layer_types", "full_attention"),
        ("layer_types", ["full_attention"]),
        ("text_config", 3),
        ("num_hidden_layers", int("9" * 400)),
    ],
)
def test_a_value_that_lies_is_one_clear_line(key: str, value: Any) -> None:
    architecture = "gemma3" if key == "text_config" else "llama"
    with pytest.raises(InputError) as caught:
        read_geometry({**LLAMA, key: value}, architecture)
    message = caught.value.message
    assert "\n" not in message and "\x1b" not in message and len(message) < 160
    assert caught.value.hint


@pytest.mark.parametrize("missing", ["num_hidden_layers", "num_attention_heads"])
def test_what_is_missing_is_named(missing: str) -> None:
    config = {key: value for key, value in LLAMA.items() if key != missing}
    with pytest.raises(InputError, match=f"has no `{missing}`"):
        read_geometry(config, "llama")


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


@given(
    st.sampled_from([*sorted(known_architectures()), "unheard_of"]),
    st.dictionaries(_KEYS, _JSON, max_size=6),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_any_config_gives_a_geometry_or_an_input_error(
    architecture: str, config: dict[str, Any], complete: bool
) -> None:
    config = {**LLAMA, **config} if complete else config
    try:
        caches = read_geometry(config, architecture)
        context, vocabulary = max_context(config, architecture), vocab_size(config, architecture)
    except InputError as error:
        assert "\n" not in error.message
        return
    assert caches.total_layers >= 1
    assert all(layer.kv_heads >= 1 and layer.k_dim >= 1 for layer in caches.layers)
    assert caches.bytes_per_token_16bit(512) >= 0
    assert context is None or context > 0
    assert vocabulary is None or vocabulary > 0
