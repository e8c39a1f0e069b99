"""What precision weights are stored in: as mlx-lm loads them, whatever the config says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from converted_models import convert, edit_config, info_of, loaded
from mlx_lm.convert import mixed_quant_predicate_builder
from mlx_lm.utils import compute_bits_per_weight, get_total_parameters
from tiny_models import write_tiny_model

from scorer.models.precision import read_precision
from scorer.models.weight_precision import WeightPrecision
from scorer.spec.weight_format import WeightFormat

FORMATS: list[tuple[int | None, int | None, str]] = [
    *((bits, group, "affine") for bits in (2, 3, 4, 5, 6, 8) for group in (32, 64, 128)),
    (None, None, "mxfp4"),
    (None, None, "mxfp8"),
    (None, None, "nvfp4"),
]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny llama in float32: rows of 128 and 192, so that groups of 128 leave some layers."""
    return write_tiny_model(tmp_path_factory.mktemp("plain") / "tiny", "llama")


def check_as_loaded(folder: Path) -> WeightPrecision:
    """The precision of a folder, once it equals what mlx-lm says of the loaded model."""
    found = read_precision(info_of(folder))
    model, _ = loaded(folder)
    assert found.bits_per_weight == compute_bits_per_weight(model)
    assert found.parameters == get_total_parameters(model)
    stored = mx.load(str(folder / "model.safetensors"))
    assert isinstance(stored, dict)
    assert found.stored_bytes == sum(array.nbytes for array in stored.values())
    return found


@pytest.mark.parametrize(("bits", "group", "mode"), FORMATS)
def test_every_format_is_read_as_mlx_lm_loads_it(
    plain: Path, tmp_path: Path, bits: int | None, group: int | None, mode: str
) -> None:
    found = check_as_loaded(convert(plain, tmp_path / "quant", bits, group, mode, dtype="float16"))
    (layers,) = found.quantized
    model, config = loaded(tmp_path / "quant")
    assert layers.format == WeightFormat(**config["quantization"])
    quantized = [m for _, m in model.named_modules() if hasattr(m, "bits")]
    assert layers.layers == len(quantized)
    assert layers.parameters == sum(m.weight.size * 32 // m.bits for m in quantized)
    assert layers.scales == ("float16" if mode == "affine" else "uint8")
    assert found.embedding == found.head == layers.format
    assert (found.is_quantized, found.exact, found.disagreements) == (True, True, ())
    assert dict(found.unquantized)["float16"] == found.parameters - layers.parameters


@pytest.mark.parametrize("architecture", ["qwen2", "gemma3_text", "mixtral", "gpt_oss", "cohere"])
def test_other_architectures(architecture: str, tmp_path: Path) -> None:
    check_as_loaded(write_tiny_model(tmp_path / "plain", architecture))
    check_as_loaded(convert(tmp_path / "plain", tmp_path / "quant", 4, 32))


@pytest.mark.parametrize(
    ("dtype", "line"),
    [
        ("float32", "32 bit (float32)"),
        ("float16", "16 bit (float16)"),
        ("bfloat16", "16 bit (bfloat16)"),
    ],
)
def test_an_unquantized_model(plain: Path, tmp_path: Path, dtype: str, line: str) -> None:
    found = check_as_loaded(convert(plain, tmp_path / "copy", dtype=dtype, quantize=False))
    assert (found.line, found.is_quantized) == (line, False)
    assert found.bits_per_weight == (32 if dtype == "float32" else 16)
    assert found.disagreements == ()


@pytest.mark.parametrize(("stated", "stored"), [((8, 32), (4, 64)), ((2, 128), (8, 32))])
def test_a_wrong_width_in_the_config_is_seen(
    plain: Path, tmp_path: Path, stated: tuple[int, int], stored: tuple[int, int]
) -> None:
    # Codes and scales of the two have the same shapes.
    folder = convert(plain, tmp_path / "quant", *stored)
    edit_config(folder, quantization={"bits": stated[0], "group_size": stated[1]})
    found = check_as_loaded(folder)
    assert [each.format for each in found.quantized] == [WeightFormat("affine", *stored)]
    (sentence,) = found.disagreements
    assert sentence.startswith(f"config.json says {stated[0]} bit, groups of {stated[1]}; ")
    assert f"{stored[0]} bit, groups of {stored[1]}" in sentence


def test_a_mix_of_widths(plain: Path, tmp_path: Path) -> None:
    model, _ = loaded(plain)
    mixed = mixed_quant_predicate_builder("mixed_4_6", model, 64)
    found = check_as_loaded(convert(plain, tmp_path / "quant", 4, 64, predicate=mixed))
    assert {each.format.bits for each in found.quantized} == {4, 6}
    assert found.disagreements == ()
    assert found.line.startswith("mix of 4 and 6 bit, groups of 64, ")


def test_layers_that_stay_unquantized_are_named(plain: Path, tmp_path: Path) -> None:
    def not_ends(path: str, _: Any) -> bool:
        return path not in ("model.embed_tokens", "lm_head")

    found = check_as_loaded(convert(plain, tmp_path / "a", 4, 32, predicate=not_ends))
    assert found.embedding is None and found.head is None
    assert found.line.endswith("; embedding and head in float32")
    head = convert(plain, tmp_path / "b", 4, 32, predicate=lambda path, _: path != "lm_head")
    assert check_as_loaded(head).line.endswith("; head in float32")


def test_a_tied_head_is_the_embedding(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "tiny", "llama", tie_word_embeddings=True)
    found = check_as_loaded(convert(tmp_path / "tiny", tmp_path / "quant", 8, 64))
    assert found.tied and found.head == found.embedding == WeightFormat("affine", 8, 64)
    # A head that is stored all the same is not loaded.
    weights = mx.load(str(tmp_path / "tiny" / "model.safetensors"))
    assert isinstance(weights, dict)
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    before = read_precision(info_of(tmp_path / "tiny"))
    mx.save_safetensors(str(tmp_path / "tiny" / "model.safetensors"), weights)
    assert read_precision(info_of(tmp_path / "tiny")) == before


def test_a_scale_for_each_expert(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "tiny", "mixtral")
    folder = convert(tmp_path / "tiny", tmp_path / "quant", mode="nvfp4", global_scale=True)
    found = check_as_loaded(folder)
    assert {each.format.global_scale for each in found.quantized} == {True, False}
    assert found.disagreements == ()


def test_scales_without_quantization_in_the_config(plain: Path, tmp_path: Path) -> None:
    folder = convert(plain, tmp_path / "quant", 4, 64)
    edit_config(folder, quantization=None, quantization_config=None)
    (sentence,) = read_precision(info_of(folder)).disagreements
    assert "states no quantization" in sentence and "does not load" in sentence
    with pytest.raises(ValueError, match="not in model"):
        loaded(folder)


def test_quantization_in_the_config_without_scales(plain: Path, tmp_path: Path) -> None:
    folder = convert(plain, tmp_path / "copy", quantize=False)
    edit_config(folder, quantization={"bits": 4, "group_size": 64})
    found = check_as_loaded(folder)
    assert not found.is_quantized
    assert found.disagreements == (
        "config.json says 4 bit, groups of 64, and no tensor is quantized",
    )


def test_a_layer_that_the_config_describes_wrongly(plain: Path, tmp_path: Path) -> None:
    folder = convert(plain, tmp_path / "quant", 4, 64)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    own = {"lm_head": {"bits": 6, "group_size": 64}}
    edit_config(folder, quantization=config["quantization"] | own)
    (sentence,) = read_precision(info_of(folder)).disagreements
    assert "`lm_head`" in sentence and "6 bit" in sentence and "4 bit" in sentence
    with pytest.raises(ValueError, match="lm_head"):
        loaded(folder)


def test_another_dtype_in_the_config_is_said(plain: Path, tmp_path: Path) -> None:
    folder = convert(plain, tmp_path / "copy", dtype="float16", quantize=False)
    edit_config(folder, torch_dtype="bfloat16")
    (sentence,) = read_precision(info_of(folder)).disagreements
    assert sentence == "config.json says bfloat16, and the tensors are float16"


def test_scales_of_another_dtype_count(plain: Path, tmp_path: Path) -> None:
    narrow = check_as_loaded(convert(plain, tmp_path / "a", 8, 64, dtype="float16"))
    wide = check_as_loaded(convert(plain, tmp_path / "b", 8, 64, dtype="float32"))
    assert wide.bits_per_weight > narrow.bits_per_weight + 0.49
    assert wide.line.startswith("8 bit, groups of 64, scales in float32, 9.")
