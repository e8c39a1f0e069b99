"""Is a candidate the reference in another precision? Refused with the difference in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from converted_models import convert, edit_config, info_of
from tiny_models import write_tiny_model
from tiny_tokenizers import byte_level

from scorer.common.errors import InputError
from scorer.models.same_model import check_same_model


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("reference") / "tiny", "llama")


@pytest.fixture
def copy(reference: Path, tmp_path: Path) -> Path:
    """The reference at 4 bits, to be changed."""
    return convert(reference, tmp_path / "copy", 4, 64)


def refused(reference: Path, candidate: Path) -> str:
    """The difference that a refusal names; it is one line."""
    with pytest.raises(InputError) as caught:
        check_same_model(info_of(reference), info_of(candidate))
    assert "\n" not in caught.value.message and caught.value.hint
    return caught.value.message


@pytest.mark.parametrize(
    ("bits", "group", "mode"),
    [(4, 64, "affine"), (2, 128, "affine"), (8, 32, "affine"), (None, None, "nvfp4")],
)
def test_quantized_copies_are_the_same_model(
    reference: Path, tmp_path: Path, bits: int | None, group: int | None, mode: str
) -> None:
    candidate = convert(reference, tmp_path / "copy", bits, group, mode)
    assert check_same_model(info_of(reference), info_of(candidate)) == ()
    # Either may be the reference.
    (caution,) = check_same_model(info_of(candidate), info_of(reference))
    assert caution == "`tiny` is not quantized: its weights are 32 bit (float32)."


@pytest.mark.parametrize("architecture", ["mixtral", "gpt_oss", "deepseek_v3", "gemma3"])
def test_copies_of_other_architectures(architecture: str, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "plain", architecture)
    candidate = convert(tmp_path / "plain", tmp_path / "copy", 4, 32)
    assert check_same_model(info_of(tmp_path / "plain"), info_of(candidate)) == ()


def test_the_reference_itself_is_refused(reference: Path, tmp_path: Path) -> None:
    shutil.copytree(reference, tmp_path / "copied")
    (tmp_path / "linked").symlink_to(reference)
    for candidate in (reference, tmp_path / "linked", tmp_path / "copied"):
        assert "is the reference itself" in refused(reference, candidate)


def test_other_weights_in_the_same_precision_are_compared(reference: Path, tmp_path: Path) -> None:
    other = write_tiny_model(tmp_path / "other", "llama", seed=1)
    (caution,) = check_same_model(info_of(reference), info_of(other))
    assert "is not quantized" in caution


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"model_type": "qwen3"}, "its architecture is `qwen3` and the reference's `llama`"),
        ({"vocab_size": 321}, "its vocabulary has 321 entries and the reference's 320"),
        ({"rms_norm_eps": 1e-6}, "its `rms_norm_eps` is `1e-06` and the reference's `1e-05`"),
        ({"rope_theta": 5e5}, "its `rope_theta` is `500000.0` and the reference's `10000.0`"),
        ({"num_attention_heads": 8}, "its `num_attention_heads` is `8` and the reference's `4`"),
        ({"num_key_value_heads": 4}, "its `num_key_value_heads` is `4` and the reference's `2`"),
        ({"num_hidden_layers": 3}, "its `num_hidden_layers` is `3` and the reference's `4`"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "its `rope_scaling` is"),
        (
            {"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 7.0}},
            "its `rope_theta` is `7.0`",
        ),
        ({"attention_bias": True}, "its `attention_bias` is `true` and the reference's `false`"),
    ],
)
def test_what_changes_numbers_is_a_difference(
    reference: Path, copy: Path, changes: dict[str, Any], difference: str
) -> None:
    assert difference in refused(reference, edit_config(copy, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"torch_dtype": "bfloat16", "transformers_version": "9", "_name_or_path": "x"},
        {"max_position_embeddings": 4096, "use_cache": False, "eos_token_id": 3},
        {"architectures": ["OtherForCausalLM"], "unsloth_fixed": True},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}, "rope_theta": None},
        {"head_dim": None},
        {"attention_bias": None, "layer_types": ["full_attention"] * 4},
        {"model_type": "mistral"},
    ],
)
def test_what_changes_no_number_is_none(
    reference: Path, copy: Path, changes: dict[str, Any]
) -> None:
    assert check_same_model(info_of(reference), info_of(edit_config(copy, **changes))) == ()


def test_scaled_positions_count_the_longest_context(tmp_path: Path) -> None:
    scaled = {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}
    reference = write_tiny_model(tmp_path / "tiny", "llama", **scaled)
    candidate = convert(reference, tmp_path / "copy", 4, 64)
    assert check_same_model(info_of(reference), info_of(candidate)) == ()
    edit_config(candidate, max_position_embeddings=4096)
    assert "max_position_embeddings" in refused(reference, candidate)


Change = Callable[[dict[str, mx.array]], Any]


def _without_norm(weights: dict[str, mx.array]) -> None:
    del weights["model.norm.weight"]


def _with_bias(weights: dict[str, mx.array]) -> None:
    weights["model.layers.0.self_attn.q_proj.bias"] = mx.zeros((128,))


def _wider(weights: dict[str, mx.array]) -> None:
    weights["model.layers.0.input_layernorm.weight"] = mx.zeros((130,))


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (_without_norm, "it lacks `norm.weight` that the reference has"),
        (_with_bias, "it has `layers.0.self_attn.q_proj.bias` that the reference lacks"),
        (_wider, "its `layers.0.input_layernorm.weight` is 130 and the reference's 128"),
    ],
)
def test_other_tensors_are_a_difference(
    reference: Path, copy: Path, change: Change, difference: str
) -> None:
    _rewrite(copy, change)
    assert difference in refused(reference, copy)


def _rewrite(folder: Path, change: Change) -> None:
    weights = mx.load(str(folder / "model.safetensors"))
    assert isinstance(weights, dict)
    mx.eval(weights)
    change(weights)
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})


def test_a_tied_head_may_be_left_out(tmp_path: Path) -> None:
    tied = write_tiny_model(tmp_path / "tied", "llama", tie_word_embeddings=True)
    candidate = convert(tied, tmp_path / "copy", 4, 64)

    def doubled(weights: dict[str, mx.array]) -> None:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]

    _rewrite(tied, doubled)
    assert check_same_model(info_of(tied), info_of(candidate)) == ()
    # Also where the config of one says that it has a head of its own, which is the embedding.
    edit_config(tied, tie_word_embeddings=False)
    assert check_same_model(info_of(tied), info_of(candidate)) == ()

    def another(weights: dict[str, mx.array]) -> None:
        weights["lm_head.weight"] = weights["lm_head.weight"] + 1

    _rewrite(tied, another)
    assert "token embedding as output head" in refused(tied, candidate)


def test_experts_by_one_and_stacked_are_the_same(tmp_path: Path) -> None:
    stacked = write_tiny_model(tmp_path / "stacked", "mixtral")
    candidate = convert(stacked, tmp_path / "copy", 4, 64)

    def by_one(weights: dict[str, mx.array]) -> None:
        for name in [name for name in weights if ".switch_mlp." in name]:
            whole = weights.pop(name)
            old = {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}[name.split(".")[-2]]
            block = name.partition(".switch_mlp.")[0]
            for i, one in enumerate(whole):
                weights[f"{block}.experts.{i}.{old}.weight"] = one

    _rewrite(stacked, by_one)
    assert check_same_model(info_of(stacked), info_of(candidate)) == ()


def test_a_matrix_that_mlx_lm_cuts_in_two_is_counted(tmp_path: Path) -> None:
    plain = write_tiny_model(tmp_path / "plain", "deepseek_v3")
    candidate = convert(plain, tmp_path / "copy", 4, 32)

    def joined(weights: dict[str, mx.array]) -> None:
        for name in [name for name in weights if name.endswith("embed_q.weight")]:
            block = name.removesuffix("embed_q.weight")
            queries, values = weights.pop(name), weights.pop(f"{block}unembed_out.weight")
            both = mx.concatenate([queries.swapaxes(1, 2), values], axis=1)
            weights[f"{block}kv_b_proj.weight"] = both.reshape(-1, both.shape[-1])

    _rewrite(plain, joined)
    assert check_same_model(info_of(plain), info_of(candidate)) == ()


def test_a_candidate_called_quantized_has_to_be(reference: Path, tmp_path: Path) -> None:
    candidate = convert(reference, tmp_path / "copy", dtype="float16", quantize=False)
    edit_config(candidate, quantization={"bits": 4, "group_size": 64})
    assert "`copy` is called quantized and is not" in refused(reference, candidate)


def test_a_candidate_that_mlx_lm_does_not_load_is_refused(reference: Path, copy: Path) -> None:
    edit_config(copy, quantization=None, quantization_config=None)
    assert "mlx-lm does not load them" in refused(reference, copy)


def test_a_name_and_a_config_that_are_wrong_are_cautions(reference: Path, tmp_path: Path) -> None:
    candidate = convert(reference, tmp_path / "tiny-8bit", 4, 64)
    edit_config(candidate, quantization={"bits": 8, "group_size": 32})
    name, config = check_same_model(info_of(reference), info_of(candidate))
    assert name.startswith("Of `tiny-8bit`: its name says 8 bit and its tensors are 4 bit, groups")
    assert config.startswith("Of `tiny-8bit`: config.json says 8 bit, groups of 32; ")


def test_another_tokenizer_is_a_difference(reference: Path, copy: Path) -> None:
    tokenizer = byte_level()
    tokenizer.add_tokens(["extra"])
    tokenizer.save(str(copy / "tokenizer.json"))
    assert "its tokenizer has an added token `extra`" in refused(reference, copy)


def test_another_chat_template_is_none(reference: Path, copy: Path) -> None:
    (copy / "chat_template.jinja").write_text("{{ messages }}", "utf-8")
    config = json.loads((copy / "tokenizer_config.json").read_text("utf-8"))
    config["chat_template"] = "{{ bos_token }}"
    (copy / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    assert check_same_model(info_of(reference), info_of(copy)) == ()
