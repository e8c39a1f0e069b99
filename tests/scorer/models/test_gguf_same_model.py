"""Is a GGUF file the reference in another precision? Asked before anything is loaded."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from converted_models import info_of
from gguf_files import Converted, converted, needs_gguf, stored
from tiny_models import write_tiny_model
from tiny_runs import Small
from tiny_tokenizers import sentencepiece, write_model

from scorer.common.errors import InputError
from scorer.models.gguf.beside import gguf_beside
from scorer.models.gguf.file import open_gguf
from scorer.models.gguf.header import TOKENS
from scorer.models.gguf.rope import llama3_factors
from scorer.models.gguf.same_model import GGUFWeights, gguf_weights, require_gguf_package
from scorer.models.gguf.tokens import check_tokens

BASE = {"rope_type": "default", "rope_theta": 5e5}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def compared(folder: Path, file: Converted, at: Path) -> GGUFWeights:
    info, opened = info_of(folder), open_gguf(file.write(at / "x.gguf"))
    found = gguf_weights(info, opened)
    check_tokens(info, opened)
    return found


def refused(folder: Path, file: Converted, at: Path) -> str:
    with pytest.raises(InputError) as error:
        compared(folder, file, at)
    assert error.value.message.isprintable() and "\n" not in error.value.message
    return error.value.message


def test_a_converted_model_is_the_reference(small: Small, tmp_path: Path) -> None:
    found = compared(small.model, converted(small.model, "F16"), tmp_path)
    precision = found.precision
    assert not precision.is_quantized and 16 < precision.bits_per_weight < 16.2
    assert found.cautions == ("`x.gguf` is not quantized: its weights are 16 bit (float16).",)
    assert found.file.architecture == "llama"
    info = info_of(small.model)
    sizes = found.sizes(info)
    # Of our own run, not of the file.
    assert sizes.dense_bytes == 4 * precision.parameters
    assert sizes.hidden == info.hidden_size


def test_a_quantized_copy_is_a_reference_too(small: Small, tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "q", "llama", bits=8, head_dim=64, num_hidden_layers=2)
    found = compared(folder, converted(small.model), tmp_path)
    assert "quantization" not in found.config


def of(name: str, value: Any) -> Callable[[Converted], None]:
    return lambda file: file.values.update({name: value})


def without(*names: str) -> Callable[[Converted], None]:
    def change(file: Converted) -> None:
        for name in names:
            (file.tensors if name in file.tensors else file.values).pop(name)

    return change


def tensor(name: str, *shape: int) -> Callable[[Converted], None]:
    return lambda file: file.tensors.update({name: stored(np.ones(shape))})


def token(number: int, text: str) -> Callable[[Converted], None]:
    def change(file: Converted) -> None:
        file.values[TOKENS][number] = text

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (of("general.architecture", "mamba\x1b"), "is of the architecture `mamba?`; GGUF is read"),
        (without("general.architecture"), "names no architecture"),
        (of("general.architecture", "qwen2"), "its architecture is `qwen2` and the reference's"),
        (of("llama.expert_count", 8), "mixture of experts"),
        (of("llama.block_count", 3), "its `num_hidden_layers` is `3` and the reference's `2`"),
        (without("llama.block_count"), "does not say its `llama.block_count`"),
        (of("llama.block_count", [2, 3]), "where one size of all layers belongs"),
        (of("llama.block_count", 0), "where one size of all layers belongs"),
        (of("llama.embedding_length", 96), "its `hidden_size` is `96`"),
        (of("llama.feed_forward_length", 96), "its `intermediate_size` is `96`"),
        (of("llama.attention.head_count", 8), "its `num_attention_heads` is `8`"),
        (of("llama.attention.head_count_kv", 1), "its `num_key_value_heads` is `1`"),
        (of("llama.attention.key_length", 32), "heads of different sizes"),
        (of("llama.attention.layer_norm_rms_epsilon", 1e-3), "its `rms_norm_eps` is"),
        (without("llama.attention.layer_norm_rms_epsilon"), "does not say its"),
        (of("llama.rope.freq_base", 5e5), "its base of rotary positions is 500000"),
        (of("llama.rope.dimension_count", 32), "it turns 32 elements of a head"),
        (of("llama.rope.scaling.type", "yarn"), "positions are scaled by `yarn`"),
        (of("llama.rope.scale_linear", 2.0), "positions are scaled by `linear`"),
        (tensor("rope_freqs.weight", 32), ""),
        (tensor("rope_freqs.weight", 16), ""),
        (without(TOKENS), "has no list of tokens"),
        (token(65, "other"), "its token 65 is `other`"),
        (token(257, "<|other\n|>"), "its token 257 is `<|other?|>` and the reference's `<|end|>`"),
        (of(TOKENS, ["a"] * 3), "its token 0 is `a`"),
        (without("blk.1.ffn_up.weight"), "it lacks `layers.1.mlp.up_proj.weight`"),
        (without("output_norm.weight"), "it lacks `norm.weight`"),
        (without("token_embd.weight"), "it lacks `embed_tokens.weight`"),
        (tensor("blk.2.ffn_up.weight", 8, 8), "it has `layers.2.mlp.up_proj.weight`"),
        (tensor("blk.0.attn_q.bias", 256), "it has `layers.0.self_attn.q_proj.bias`"),
        (tensor("blk.0.ffn_gate_inp.weight", 8, 8), "has the tensor `blk.0.ffn_gate_inp.weight`"),
        (tensor("v.patch_embd.weight", 8, 8), "has the tensor `v.patch_embd.weight`"),
        (tensor("blk.0.attn_norm.weight", 4), "its `layers.0.input_layernorm.weight` is 4 and"),
        (tensor("token_embd.weight", 7, 128), "its vocabulary has 7 entries and the reference's"),
        (tensor("output.weight", 7, 128), "its `lm_head.weight` is 7 × 128 and the reference's"),
    ],
)
def test_another_model_is_refused(
    change: Callable[[Converted], None], said: str, small: Small, tmp_path: Path
) -> None:
    file = converted(small.model)
    change(file)
    if said:
        assert said in refused(small.model, file, tmp_path)
    else:
        # Factors of one divide by nothing.
        compared(small.model, file, tmp_path)


def test_a_matrix_on_its_side_is_refused(small: Small, tmp_path: Path) -> None:
    file = converted(small.model)
    up = file.tensors["blk.0.ffn_up.weight"]
    file.tensors["blk.0.ffn_up.weight"] = dataclasses.replace(up, shape=up.shape[::-1])
    assert "its `layers.0.mlp.up_proj.weight` is" in refused(small.model, file, tmp_path)


def test_what_is_not_compared_is_said(small: Small, tmp_path: Path) -> None:
    file = converted(small.model)
    file.values |= {"llama.new_kind_of_scale": 2.0, "llama.context_length": 7}
    (_, caution) = compared(small.model, file, tmp_path).cautions
    assert "states `llama.new_kind_of_scale`, which is not compared" in caution


def test_values_that_say_the_default_may_be_missing(small: Small, tmp_path: Path) -> None:
    file = converted(small.model)
    without("llama.rope.freq_base", "llama.rope.dimension_count", "llama.vocab_size")(file)
    file.values["llama.attention.head_count_kv"] = [2, 2]
    file.values["llama.rope.scaling.type"] = "none"
    compared(small.model, file, tmp_path)


@pytest.mark.parametrize("wrong", [False, True])
def test_scaling_of_llama3_lies_in_a_tensor(wrong: bool, tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "m", "llama", rope_scaling=LLAMA3)
    file = converted(folder)
    assert "it has no `rope_freqs.weight`" in refused(folder, file, tmp_path)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    dims = config["head_dim"]
    factors = llama3_factors(LLAMA3, config.get("rope_theta", 10000.0), dims)
    # Some frequencies stay, some are divided, some lie between.
    assert factors[0] == 1 and factors[-1] == 8 and any(1 < each < 8 for each in factors)
    file.tensors["rope_freqs.weight"] = stored(np.array(factors) * (1.01 if wrong else 1))
    if wrong:
        assert "scaled by factors of its own" in refused(folder, file, tmp_path)
    else:
        compared(folder, file, tmp_path)


def test_factors_of_llama3_are_those_of_mlx_lm() -> None:
    from mlx_lm.models.rope_utils import Llama3RoPE

    rope = Llama3RoPE(64, base=10000.0, scaling_config=LLAMA3)
    plain = 10000.0 ** (np.arange(0, 64, 2) / 64)
    ours = np.array(llama3_factors(LLAMA3, 10000.0, 64)) * plain
    np.testing.assert_allclose(np.array(rope._freqs), ours, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("linear", {"scaling.factor": 4.0}),
        ("yarn", {"scaling.factor": 4.0, "scaling.original_context_length": 64}),
    ],
)
def test_scaling_is_compared_with_the_reference(
    kind: str, values: dict[str, Any], tmp_path: Path
) -> None:
    scaling = {"type": kind, "factor": 4.0, "original_max_position_embeddings": 64}
    folder = write_tiny_model(tmp_path / "m", "llama", rope_scaling=scaling)
    file = converted(folder)
    assert "positions are not scaled" in refused(folder, file, tmp_path)
    file.values["llama.rope.scaling.type"] = kind
    assert f"scaled by `{kind}`" in refused(folder, file, tmp_path)
    file.values |= {f"llama.rope.{key}": value for key, value in values.items()}
    compared(folder, file, tmp_path)


def test_heads_of_their_own_and_shared_ones(tmp_path: Path) -> None:
    apart = write_tiny_model(tmp_path / "apart", "llama", tie_word_embeddings=False)
    tied = write_tiny_model(tmp_path / "tied", "llama", tie_word_embeddings=True)
    file = converted(apart)
    assert compared(apart, file, tmp_path).config["tie_word_embeddings"] is False
    # llama.cpp takes the head of the file, whatever it was made of.
    assert compared(tied, file, tmp_path).config["tie_word_embeddings"] is False
    assert compared(tied, converted(tied), tmp_path).config["tie_word_embeddings"] is True
    assert "the reference has one of its own" in refused(apart, converted(tied), tmp_path)
    tensor("output.weight", 7, 128)(file)
    assert "its output head has another shape" in refused(tied, file, tmp_path)


def test_a_qwen2_that_turns_neighbours_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "m", "qwen2", rope_traditional=True)
    assert "turns elements half a head apart" in refused(folder, converted(folder), tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sliding_window_pattern": 2}, "`sliding_window_pattern` is `6`"),
        ({"rope_local_base_freq": 5000.0}, "`rope_local_base_freq` is `10000.0`"),
        ({"query_pre_attn_scalar": 64}, "`query_pre_attn_scalar` is `32`"),
        ({}, "`sliding_window` is `8`"),
    ],
)
def test_what_llama_cpp_has_in_its_code_is_compared(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    usual = {"sliding_window_pattern": 6, "rope_local_base_freq": 10000.0}
    usual["query_pre_attn_scalar"] = 32
    folder = write_tiny_model(tmp_path / "m", "gemma3_text", **usual | change)
    file = converted(folder)
    if not change:
        compared(folder, file, tmp_path)
        file.values["gemma3.attention.sliding_window"] = 8
    assert said in refused(folder, file, tmp_path)


def test_a_base_in_rope_parameters_is_the_base(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "m", "qwen3", rope_theta=None, rope_parameters=BASE)
    file = converted(folder)
    assert "base of rotary positions is 10000 and" in refused(folder, file, tmp_path)
    file.values["qwen3.rope.freq_base"] = 5e5
    compared(folder, file, tmp_path)


def test_tokens_of_sentencepiece_may_have_blanks_in_added_ones(tmp_path: Path) -> None:
    tokenizer = sentencepiece()
    tokenizer.add_tokens(["an added one"])
    folder = write_tiny_model(tmp_path / "m", "llama")
    write_model(folder, tokenizer, tokenizer_class="PreTrainedTokenizerFast")
    file = converted(folder)
    number = tokenizer.token_to_id("an added one")
    token(number, "an▁added▁one")(file)
    compared(folder, file, tmp_path)
    token(tokenizer.token_to_id("▁a"), " a")(file)
    assert "its token" in refused(folder, file, tmp_path)


def test_without_the_package_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="need the package `gguf`") as error:
        require_gguf_package()
    assert "qfid[gguf]" in error.value.hint


def test_files_beside_a_model_are_found(small: Small, tmp_path: Path) -> None:
    folder = shutil.copytree(small.model, tmp_path / "model")
    converted(small.model, "F16").write(folder / "b.gguf")
    converted(small.model).write(folder / "a.GGUF")
    other = converted(small.model)
    other.values["llama.block_count"] = 7
    other.write(folder / "other.gguf")
    (folder / "broken.gguf").write_bytes(b"GGUF")
    assert [path.name for path, _ in gguf_beside(info_of(folder))] == ["a.GGUF", "b.gguf"]


def test_a_mix_of_types_is_reported_as_a_mix(small: Small, tmp_path: Path) -> None:
    needs_gguf()
    file = converted(small.model, "Q4_0", ffn_down="Q8_0", token_embd="F16")
    precision = compared(small.model, file, tmp_path).precision
    kinds = {each.format.mode: each.layers for each in precision.quantized}
    assert kinds == {"Q4_0": 13, "Q8_0": 2}
    assert precision.embedding is None
    assert precision.head is not None and precision.head.mode == "Q4_0"
    assert precision.line.startswith("mix of Q4_0 and Q8_0, ")
    assert precision.loaded_bytes == sum(len(each.data) for each in file.tensors.values())
