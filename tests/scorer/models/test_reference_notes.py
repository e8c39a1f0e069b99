"""What is said of the precision of a reference: it bounds what can be measured."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import pytest
from converted_models import convert, edit_config, info_of
from tiny_models import write_tiny_model

from scorer.demo import demo_model_path
from scorer.models.disagreements import name_differs
from scorer.models.precision import read_precision
from scorer.models.reference_notes import coarse_weights, reference_notes


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("plain") / "tiny", "llama")


def notes(folder: Path) -> tuple[str, ...]:
    info = info_of(folder)
    return reference_notes(info, read_precision(info))


def test_a_full_precision_reference_is_named(plain: Path) -> None:
    assert notes(plain) == ("The reference is stored in 32 bit (float32).",)
    assert len(notes(demo_model_path())) == 1


def test_eight_bits_are_not_full_precision(plain: Path, tmp_path: Path) -> None:
    (note,) = notes(convert(plain, tmp_path / "quant", 8, 64, dtype="float16"))
    assert note.startswith("The reference is stored in 8 bit, groups of 64, 8.5")
    assert note.endswith("not full precision, so what its quantization lost is not measured.")


def test_a_name_and_a_config_that_say_otherwise(plain: Path, tmp_path: Path) -> None:
    folder = convert(plain, tmp_path / "tiny-4bit", dtype="float16", quantize=False)
    edit_config(folder, torch_dtype="bfloat16")
    assert notes(folder)[1:] == (
        "Of the reference: its name says 4 bit and its tensors are 16 bit (float16).",
        "Of the reference: config.json says bfloat16, and the tensors are float16.",
    )


@pytest.mark.parametrize(
    ("name", "differs"),
    [
        ("org/Model-7B-4bit", False),
        ("org/Model-7B-Instruct-4bit-DWQ", False),
        ("org/Model-8bit", True),
        ("org/Model-w4", False),
        ("org/Model-bf16", True),
        ("org/8bit-club/Model", False),
        ("org/Model-2bits", True),
        ("org/GLM-4-9B", False),
        ("org/Phi-3.5-mini-instruct", False),
    ],
)
def test_which_names_state_a_precision(
    plain: Path, tmp_path: Path, name: str, differs: bool
) -> None:
    precision = read_precision(info_of(convert(plain, tmp_path / "quant", 4, 64)))
    assert (name_differs(name, precision) is not None) == differs


@pytest.mark.parametrize(("bits", "group", "levels"), [(4, 32, 16), (4, 64, 16), (3, 64, 8)])
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16, mx.float16])
def test_dequantized_weights_are_noticed(
    plain: Path, tmp_path: Path, bits: int, group: int, levels: int, dtype: mx.Dtype
) -> None:
    folder = convert(plain, tmp_path / "copy", quantize=False)
    weights = mx.load(str(folder / "model.safetensors"))
    assert isinstance(weights, dict)
    for name, value in weights.items():
        if name.endswith("proj.weight"):
            codes = mx.quantize(value.astype(dtype), group, bits)
            weights[name] = mx.dequantize(*codes, group, bits)
    mx.eval(weights)
    mx.save_safetensors(str(folder / "model.safetensors"), weights)
    found = coarse_weights(folder)
    assert found is not None and found.levels == levels
    assert 20 < found.found < found.looked_at
    assert f"probably made from weights of {bits} bits" in notes(folder)[-1]


def test_one_matrix_of_few_values_says_nothing(plain: Path, tmp_path: Path) -> None:
    folder = convert(plain, tmp_path / "copy", quantize=False)
    weights = mx.load(str(folder / "model.safetensors"))
    assert isinstance(weights, dict)
    weights["lm_head.weight"] = mx.round(weights["lm_head.weight"] * 20)
    mx.save_safetensors(str(folder / "model.safetensors"), weights)
    assert coarse_weights(folder) is None
    assert coarse_weights(tmp_path / "missing") is None
