"""The precision that ``mlx_lm.convert`` would give, against what it gives."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from converted_models import convert, edit_config, info_of
from tiny_models import write_tiny_model

from scorer.common.errors import InputError
from scorer.models.precision import read_precision
from scorer.models.predicted_precision import predicted_precision
from scorer.models.weight_precision import WeightPrecision
from scorer.spec.weight_format import WeightFormat

FORMATS: list[tuple[int | None, int | None, str]] = [
    *((bits, group, "affine") for bits in (2, 3, 4, 6, 8) for group in (32, 64, 128)),
    (None, None, "mxfp4"),
    (None, None, "mxfp8"),
    (None, None, "nvfp4"),
]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny llama in float32: rows of 128 and 192, so that groups of 128 leave some layers."""
    return write_tiny_model(tmp_path_factory.mktemp("plain") / "tiny", "llama")


def check_as_converted(
    source: Path, to: Path, bits: int | None, group: int | None, mode: str = "affine"
) -> WeightPrecision:
    """The prediction, once it equals what the converted folder holds."""
    predicted = predicted_precision(info_of(source), bits, group, mode)
    real = read_precision(info_of(convert(source, to, bits, group, mode)))
    assert dataclasses.replace(predicted, exact=True) == real
    # The file holds these bytes, and its header.
    file = (to / "model.safetensors").read_bytes()
    assert len(file) == 8 + int.from_bytes(file[:8], "little") + predicted.stored_bytes
    return predicted


@pytest.mark.parametrize("dtype", ["float16", None])
@pytest.mark.parametrize(("bits", "group", "mode"), FORMATS)
def test_every_format_is_predicted_to_the_byte(
    plain: Path, tmp_path: Path, bits: int | None, group: int | None, mode: str, dtype: str | None
) -> None:
    # Converting casts to the dtype that the config states; without one scales stay float32.
    source = convert(plain, tmp_path / "source", quantize=False)
    edit_config(source, torch_dtype=dtype)
    predicted = check_as_converted(source, tmp_path / "quant", bits, group, mode)
    assert predicted.exact
    if group == 128:
        (layers,) = predicted.quantized
        assert layers.layers == 4 * 6 + 2
        assert predicted.unquantized[0][1] > 4 * 128 * 192 - 1


@pytest.mark.parametrize(
    "architecture",
    # Biases; a predicate; routers that are no linear layers; a predicate of the class inside; one
    # that is inherited; vision parts.
    ["qwen2", "granite", "gpt_oss", "deepseek_v3", "glm_moe_dsa", "gemma4", "qwen3_5_moe"],
)
def test_other_architectures_are_predicted_to_the_byte(architecture: str, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "plain", architecture)
    assert check_as_converted(tmp_path / "plain", tmp_path / "quant", 4, 32).exact


def test_a_predicate_that_needs_the_model_makes_it_an_estimate(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "plain", "bailing_moe_v3")
    predicted = predicted_precision(info_of(tmp_path / "plain"), 4, 32)
    real = read_precision(info_of(convert(tmp_path / "plain", tmp_path / "quant", 4, 32)))
    assert not predicted.exact
    assert predicted.stored_bytes == pytest.approx(real.stored_bytes, rel=0.05)


def test_quantized_weights_are_not_quantized_again(plain: Path, tmp_path: Path) -> None:
    convert(plain, tmp_path / "quant", 8, 64)
    with pytest.raises(InputError, match="no weights that can be quantized to 4 bit") as caught:
        predicted_precision(info_of(tmp_path / "quant"), 4, 64)
    assert "quantized already" in caught.value.hint


def test_half_quantized_weights_are_quantized_further(plain: Path, tmp_path: Path) -> None:
    def only_head(path: str, _: object) -> bool:
        return path == "lm_head"

    convert(plain, tmp_path / "half", 8, 64, predicate=only_head)
    predicted = predicted_precision(info_of(tmp_path / "half"), 4, 32)
    real = read_precision(info_of(convert(tmp_path / "half", tmp_path / "whole", 4, 32)))
    assert predicted == real
    assert predicted.head == WeightFormat("affine", 8, 64)


@pytest.mark.parametrize(
    ("bits", "group", "mode"),
    [(7, 64, "affine"), (4, 48, "affine"), (8, 32, "mxfp4"), (4, 64, "q")],
)
def test_formats_that_mlx_lacks_are_refused(plain: Path, bits: int, group: int, mode: str) -> None:
    with pytest.raises(InputError):
        predicted_precision(info_of(plain), bits, group, mode)
