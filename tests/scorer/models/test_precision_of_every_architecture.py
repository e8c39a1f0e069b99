"""Precision read and predicted, of every architecture of the installed mlx-lm."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from pathlib import Path

import pytest
from converted_models import convert, info_of, loaded
from mlx.utils import tree_flatten
from mlx_lm.utils import compute_bits_per_weight, get_total_parameters
from tiny_configs import architectures
from tiny_models import write_tiny_model

from scorer.models.architectures import refusal
from scorer.models.precision import read_precision
from scorer.models.predicted_precision import predicted_precision
from scorer.models.weight_precision import WeightPrecision

# mlx_lm.convert cannot quantize the tiny ones: layers without a mode, or rows that are too short.
NOT_CONVERTED = {"afm7", "longcat_flash_ngram", "prism_hadamard_qwen35", "rwkv7"}
# Their layers are chosen by more than a path.
ESTIMATED = {"bailing_moe_v3", "granitemoehybrid"}
# A matrix is cut in two before it is quantized.
SPLIT = {"deepseek_v2", "minicpm3", "youtu_llm"}


def check_as_loaded(folder: Path) -> WeightPrecision:
    found = read_precision(info_of(folder))
    model, _ = loaded(folder)
    parameters = tree_flatten(model.parameters())
    assert found.loaded_bytes == sum(value.nbytes for _, value in parameters)
    assert found.parameters == get_total_parameters(model)
    # Constants that a module computes count too; those of a tiny model are a part of it.
    assert 0 <= compute_bits_per_weight(model) / found.bits_per_weight - 1 < 0.08
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", [each for each in architectures() if each not in NOT_CONVERTED])
def test_precision_is_that_of_the_loaded_model(name: str, tmp_path: Path) -> None:
    if refusal(name) is not None:
        pytest.skip(f"{name}: {refusal(name)}")
    plain = write_tiny_model(tmp_path / "plain", name)
    assert not check_as_loaded(plain).is_quantized
    for bits, group, mode in ((4, 32, "affine"), (6, 64, "affine"), (None, None, "nvfp4")):
        predicted = predicted_precision(info_of(plain), bits, group, mode)
        folder = tmp_path / f"{mode}{bits}"
        with contextlib.redirect_stdout(io.StringIO()):
            found = check_as_loaded(convert(plain, folder, bits, group, mode))
        assert found.disagreements == ()
        assert predicted.exact == (name not in ESTIMATED | SPLIT)
        if name not in ESTIMATED:
            assert dataclasses.replace(predicted, exact=True) == found
        else:
            assert predicted.loaded_bytes == pytest.approx(found.loaded_bytes, rel=0.02)
