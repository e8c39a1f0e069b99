"""Values of a config that a module of mlx-lm does not use: found where they are, else silence."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from config_alarms import alarms, built
from tiny_configs import architectures, tiny_config
from tiny_values import USUAL

from scorer.lm.unused_config import Unused, added_sentence, added_values
from scorer.models.architectures import refusal

YARN = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}

# Tiny configs that state what their class computes without: qwen3_5 reads `rope_parameters` alone.
STATED_IN_VAIN = {
    name: {"rope_theta", "partial_rotary_factor"}
    for name in ("qwen3_5", "qwen3_5_moe", "prism_hadamard_qwen35")
}
# mlx-lm's YaRN rounds its range always.
OF_TRANSFORMERS = {"gpt_oss": {"rope_scaling.truncate"}}


def llama(**changes: Any) -> dict[str, Any]:
    return tiny_config("llama") | {"hidden_act": "silu"} | changes


def test_a_plain_config_is_silent() -> None:
    assert alarms(llama()) == {}
    assert (
        alarms(llama(rope_scaling={"rope_type": "default"}, mlp_bias=False, use_cache=True)) == {}
    )


@pytest.mark.parametrize(
    ("changes", "key", "used"),
    [
        ({"hidden_act": "gelu"}, "hidden_act", "silu"),
        ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping", ""),
        ({"final_logit_softcapping": 30.0}, "final_logit_softcapping", ""),
        ({"query_pre_attn_scalar": 77}, "query_pre_attn_scalar", ""),
        ({"attention_multiplier": 0.007}, "attention_multiplier", ""),
        ({"embedding_multiplier": 12.0}, "embedding_multiplier", ""),
        ({"residual_multiplier": 0.22}, "residual_multiplier", ""),
        ({"logits_scaling": 8.0}, "logits_scaling", ""),
        ({"clip_qkv": 8.0}, "clip_qkv", ""),
        ({"alibi": True}, "alibi", ""),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor", "`1`"),
        ({"rope_scaling": YARN | {"attention_factor": 3.0}}, "rope_scaling.attention_factor",
         "`1.13863`"),
        ({"rope_scaling": YARN | {"truncate": False}}, "rope_scaling.truncate", "`true`"),
        ({"rope_theta": 1e4, "rope_parameters": {"rope_theta": 5e5}}, "rope_parameters.rope_theta",
         "`10000`"),
        ({"rope_parameters": {"full_attention": {"rope_theta": 1e6},
                              "sliding_attention": {"rope_theta": 1e3}}},
         "rope_parameters.full_attention", "`10000`"),
    ],
)  # fmt: skip
def test_a_value_that_llama_does_not_take(changes: dict[str, Any], key: str, used: str) -> None:
    config = llama(**changes)
    stated: Any = config
    for part in key.split("."):
        stated = stated[part]
    value = stated["rope_theta"] if isinstance(stated, dict) else stated
    assert alarms(config)[key] == (value, used)


@pytest.mark.parametrize(
    "changes",
    [
        {"attn_logit_softcapping": None, "final_logit_softcapping": 0},
        {"query_pre_attn_scalar": USUAL["head_dim"]},
        {"attention_multiplier": USUAL["head_dim"] ** -0.5},
        {"embedding_multiplier": 1.0, "residual_multiplier": 1, "logits_scaling": 1.0},
        {"partial_rotary_factor": 1.0},
        {"hidden_act": "swish"},
        {"hidden_act": "an_activation_of_its_own"},
        {"rope_scaling": YARN},
        {"rope_scaling": YARN | {"attention_factor": 0.1 * math.log(4) + 1, "truncate": True}},
        {"rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                          "high_freq_factor": 4.0, "original_max_position_embeddings": 64}},
        {"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}, "rope_theta": None},
        {"rope_parameters": {"rope_theta": 5e5} | YARN, "rope_theta": None},
        {"rope_parameters": {"rope_theta": 1e4, "rope_type": "default"}},
    ],
)  # fmt: skip
def test_a_value_that_llama_takes_or_that_changes_nothing(changes: dict[str, Any]) -> None:
    assert alarms({k: v for k, v in (llama() | changes).items() if v is not None}) == {}


LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


@pytest.mark.parametrize(
    ("scaling", "used"),
    [({"rope_type": "yarn", "factor": 4.0}, "`4096`"), (LLAMA3, "`8192`")],
    ids=["yarn", "llama3"],
)
def test_the_context_before_stretching_is_stated_or_a_default_is_said(
    scaling: dict[str, Any], used: str
) -> None:
    key = "rope_scaling.original_max_position_embeddings"
    config = llama(rope_scaling=scaling, max_position_embeddings=32768)
    assert alarms(config) == {key: (32768, used)}
    # The default is what the config implies, or the value is stated.
    implied = int(used.strip("`"))
    assert alarms(config | {"max_position_embeddings": implied}) == {}
    stated = scaling | {"original_max_position_embeddings": 1024}
    assert alarms(config | {"rope_scaling": stated}) == {}
    # Under the name of transformers 5 the class is given what the config implies.
    later = {k: v for k, v in config.items() if k not in ("rope_scaling", "rope_theta")}
    assert alarms(later | {"rope_parameters": scaling | {"rope_theta": 1e4}}) == {}


def test_a_class_with_stretched_positions_of_its_own() -> None:
    scaling = {"type": "yarn", "factor": 4.0, "mscale": 1.0, "mscale_all_dim": 1.0}
    config = tiny_config("deepseek_v2") | {"rope_scaling": scaling}
    found = alarms(config | {"max_position_embeddings": 2048})
    assert found["rope_scaling.original_max_position_embeddings"] == (2048, "`4096`")


def test_what_is_not_stated_is_said_so() -> None:
    line = Unused("rope_scaling.x", 32768, "`4096`", implied=True).sentence("llama")
    assert line == (
        "config.json: `rope_scaling.x` is not stated: transformers takes `32768`, "
        "mlx-lm's `llama` uses `4096`"
    )


def test_an_epsilon_that_no_norm_has() -> None:
    assert alarms(tiny_config("dbrx") | {"norm_eps": 1e-3}) == {"norm_eps": (1e-3, "`1e-05`")}
    assert alarms(tiny_config("dbrx") | {"norm_eps": 1e-5}) == {}
    # Of two that are stated one is enough: norms of another kind may not exist here.
    assert alarms(llama(layer_norm_epsilon=1e-3)) == {}


def test_a_scaling_that_a_class_gives_up_is_found() -> None:
    # phi3 prints that it knows no such type, where nobody reads it, and goes on without.
    scaling = {"type": "yarn", "factor": 4.0, "long_factor": [1.0] * 16, "short_factor": [1.0] * 16}
    found = alarms(tiny_config("phi3") | {"rope_scaling": scaling})
    assert found == {"rope_scaling": ("yarn", "positions as they are")}


def test_the_base_reaches_the_rotary_positions() -> None:
    stated = {"rope_theta": 5e5, "rope_type": "default"}
    config = {k: v for k, v in llama(rope_parameters=stated).items() if k != "rope_theta"}
    module, (made,) = built(config)
    bases = {part.base for part in module.modules() if type(part).__name__ == "RoPE"}
    assert bases == {5e5}
    assert added_values(made) == {"rope_theta": 5e5}
    said = added_sentence(made)
    assert said is not None and "`rope_theta` `500000` (mlx-lm by itself: `10000`)" in said


def test_bases_by_kind_of_layer_reach_their_layers() -> None:
    by_type = {"full_attention": {"rope_theta": 7e5}, "sliding_attention": {"rope_theta": 3e4}}
    config = tiny_config("gemma3_text") | {"rope_parameters": by_type, "sliding_window_pattern": 2}
    config = {k: v for k, v in config.items() if k not in ("rope_theta", "rope_local_base_freq")}
    module, _ = built(config)
    bases = [layer.self_attn.rope.base for layer in module.layers]
    assert bases == [3e4, 7e5, 3e4, 7e5]
    assert alarms(config) == {}


def test_what_mlx_lm_would_take_by_itself_is_not_said() -> None:
    config = {k: v for k, v in llama(rope_parameters={"rope_theta": 1e4}).items()}
    del config["rope_theta"]
    _, (made,) = built(config)
    assert made.added == {"rope_theta": 1e4}
    assert added_values(made) == {} and added_sentence(made) is None


def test_a_class_that_must_be_given_a_base_is() -> None:
    config = tiny_config("granite") | {"rope_parameters": {"rope_theta": 5e5}}
    del config["rope_theta"]
    said = added_sentence(built(config)[1][0])
    assert said is not None and said.endswith("`rope_theta` `500000` (mlx-lm by itself: none)")


def test_what_is_said_names_key_stated_and_used_value() -> None:
    line = Unused("rope_theta", 5e5, "`10000`").sentence("llama")
    assert "`rope_theta` is `500000.0`" in line and "uses `10000`" in line and "`llama`" in line
    assert "\n" not in Unused("a\nb", {"x": "\x1b"}, "").sentence("llama").replace("a\nb", "")


def _of_transformers(name: str) -> dict[str, Any] | None:
    """A tiny config with the values of the default config of transformers; None without one."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if name not in CONFIG_MAPPING:
        return None
    default = json.loads(json.dumps(CONFIG_MAPPING[name]().to_dict(), default=str))
    tiny = tiny_config(name)
    parts = [(default, tiny)]
    if isinstance(tiny.get("text_config"), dict) and isinstance(default.get("text_config"), dict):
        parts = [(default["text_config"], tiny["text_config"])]
    for of_default, of_tiny in parts:
        for key in ("rope_theta", "rope_scaling", "rope_local_base_freq", "partial_rotary_factor"):
            if "rope_parameters" in of_default and key not in of_default:
                of_tiny.pop(key, None)
        if of_default.get("query_pre_attn_scalar") == of_default.get("head_dim"):
            of_default.pop("query_pre_attn_scalar", None)
        of_tiny |= {k: v for k, v in of_default.items() if k not in of_tiny or "rope" in k}
    return tiny


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_no_architecture_gives_a_false_alarm() -> None:
    wrong = {}
    for name in architectures():
        if refusal(name) is None and (found := alarms(tiny_config(name))):
            wrong[name] = set(found)
    assert wrong == STATED_IN_VAIN


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_no_default_config_of_transformers_gives_a_false_alarm() -> None:
    wrong, tried = {}, 0
    for name in architectures():
        config = _of_transformers(name) if refusal(name) is None else None
        if config is None:
            continue
        try:
            found = alarms(config, name)
        except Exception:
            # Sizes of both that do not go together.
            continue
        tried += 1
        if found:
            wrong[name] = set(found)
    assert wrong == OF_TRANSFORMERS
    assert tried >= 50
