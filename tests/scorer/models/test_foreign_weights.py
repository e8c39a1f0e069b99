"""Weights that other programs quantized: read as mlx-lm has them once it has loaded them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from converted_models import convert, info_of, loaded, write_headers
from mlx_lm.utils import compute_bits_per_weight
from tiny_configs import tiny_config
from tiny_models import write_tiny_model

from scorer.models.precision import read_precision
from scorer.models.predicted_precision import predicted_precision
from scorer.models.weight_precision import WeightPrecision
from scorer.spec.weight_format import WeightFormat

Shapes = dict[str, tuple[str, tuple[int, ...]]]


def shapes_of(folder: Path) -> Shapes:
    """Name to dtype and shape of the tensors in a folder."""
    weights = mx.load(str(folder / "model.safetensors"))
    assert isinstance(weights, dict)
    names = {mx.float32: "F32", mx.bfloat16: "BF16", mx.float16: "F16", mx.uint8: "U8"}
    return {n: (names.get(a.dtype, "U32"), tuple(a.shape)) for n, a in weights.items()}


def check_as_loaded(folder: Path) -> WeightPrecision:
    found = read_precision(info_of(folder))
    model, _ = loaded(folder)
    assert found.bits_per_weight == compute_bits_per_weight(model)
    return found


@pytest.mark.parametrize("method", ["awq", "gptq"])
def test_awq_and_gptq_become_four_bits(method: str, tmp_path: Path) -> None:
    shapes: Shapes = {}
    for name, (_, shape) in shapes_of(write_tiny_model(tmp_path / "tiny", "llama")).items():
        path = name.removesuffix(".weight")
        if not name.endswith("proj.weight"):
            shapes[name] = ("F32", shape)
            continue
        rows, width = shape
        shapes[f"{path}.qweight"] = ("I32", (width, rows // 8))
        shapes[f"{path}.qzeros"] = ("I32", (width // 64, rows // 8))
        shapes[f"{path}.scales"] = ("F16", (width // 64, rows))
    stated = {"quant_method": method, "bits": 4, "group_size": 64}
    config = tiny_config("llama") | {"quantization_config": stated}
    found = check_as_loaded(write_headers(tmp_path / "awq", config, shapes))
    (layers,) = found.quantized
    assert (layers.format, layers.layers) == (WeightFormat("affine", 4, 64), 4 * 7)
    assert found.unquantized[0][0] == "float16"
    assert found.line.endswith("; embedding and head in float16")
    assert found.disagreements == ()
    assert found.loaded_bytes != found.stored_bytes


def test_blocks_of_fp8_become_bfloat16(tmp_path: Path) -> None:
    shapes: Shapes = {}
    for name, (_, shape) in shapes_of(write_tiny_model(tmp_path / "tiny", "llama")).items():
        projection = name.endswith("proj.weight")
        shapes[name] = ("F8_E4M3" if projection else "BF16", shape)
        if projection:
            shapes[f"{name}_scale_inv"] = ("F32", tuple(-(-d // 128) for d in shape))
    stated = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    config = tiny_config("llama") | {"quantization_config": stated}
    found = read_precision(info_of(write_headers(tmp_path / "fp8", config, shapes)))
    (layers,) = found.quantized
    assert (layers.format, layers.layers) == (WeightFormat("fp8", 8, 128), 4 * 7)
    assert found.bits_per_weight == 16
    assert found.stored_bytes < found.loaded_bytes
    assert found.line.startswith("fp8") and found.disagreements == ()


def test_the_blocks_of_gpt_oss(tmp_path: Path) -> None:
    shapes: Shapes = {}
    for name, (_, shape) in shapes_of(write_tiny_model(tmp_path / "tiny", "gpt_oss")).items():
        block, dot, part = name.rpartition(".experts.")
        if not dot:
            shapes[name] = ("BF16", shape)
        elif part == "down_proj.weight":
            shapes |= _blocks(f"{block}.experts.down_proj", shape)
        elif part == "up_proj.weight":
            fused = (shape[0], 2 * shape[1], shape[2])
            shapes |= _blocks(f"{block}.experts.gate_up_proj", fused)
        elif part == "down_proj.bias":
            shapes[f"{block}.experts.down_proj_bias"] = ("BF16", shape)
        elif part == "up_proj.bias":
            shapes[f"{block}.experts.gate_up_proj_bias"] = ("BF16", (shape[0], 2 * shape[1]))
    config = tiny_config("gpt_oss") | {"quantization_config": {"quant_method": "mxfp4"}}
    found = check_as_loaded(write_headers(tmp_path / "oss", config, shapes))
    assert [each.format.mode for each in found.quantized] == ["mxfp4"]
    assert found.disagreements == ()
    # The rest can be quantized further, as mlx_lm.convert does.
    predicted = predicted_precision(info_of(tmp_path / "oss"), 4, 32)
    real = read_precision(info_of(convert(tmp_path / "oss", tmp_path / "quant", 4, 32)))
    assert predicted.loaded_bytes == real.loaded_bytes


def _blocks(path: str, shape: tuple[int, ...]) -> Shapes:
    blocks = shape[-1] // 32
    return {
        f"{path}_blocks": ("U8", (*shape[:-1], blocks, 16)),
        f"{path}_scales": ("U8", (*shape[:-1], blocks)),
    }


@pytest.mark.parametrize(
    ("stated", "parts", "format"),
    [
        (
            {"quant_method": "compressed-tensors", "format": "pack-quantized"},
            {"weight_packed": ("I32", 8), "weight_scale": ("BF16", 32), "weight_shape": ("I32", 0)},
            WeightFormat("affine", 4, 32),
        ),
        (
            {"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"},
            {
                "weight_packed": ("U8", 2),
                "weight_scale": ("F8_E4M3", 16),
                "weight_global_scale": ("F32", 0),
            },
            WeightFormat("nvfp4", 4, 16, global_scale=True),
        ),
        (
            {"quant_algo": "NVFP4", "quant_method": "modelopt"},
            {"weight": ("U8", 2), "weight_scale": ("F8_E4M3", 16), "weight_scale_2": ("F32", 0)},
            WeightFormat("nvfp4", 4, 16, global_scale=True),
        ),
    ],
)
def test_packed_weights_of_other_programs(
    stated: dict[str, Any],
    parts: dict[str, tuple[str, int]],
    format: WeightFormat,
    tmp_path: Path,
) -> None:
    shapes: Shapes = {}
    for name, (_, shape) in shapes_of(write_tiny_model(tmp_path / "tiny", "llama")).items():
        if not name.endswith("proj.weight"):
            shapes[name] = ("BF16", shape)
            continue
        for part, (dtype, ratio) in parts.items():
            of_part = (shape[0], shape[1] // ratio) if ratio else (1,)
            shapes[f"{name.removesuffix('.weight')}.{part}"] = (dtype, of_part)
    config = tiny_config("llama") | {"quantization_config": stated}
    found = read_precision(info_of(write_headers(tmp_path / "packed", config, shapes)))
    (layers,) = found.quantized
    assert (layers.format, layers.layers) == (format, 4 * 7)
    plain = read_precision(info_of(tmp_path / "tiny"))
    assert found.parameters == plain.parameters
    assert found.disagreements == ()


def test_a_method_that_mlx_lm_does_not_know_is_said(tmp_path: Path) -> None:
    tiny = shapes_of(write_tiny_model(tmp_path / "tiny", "llama"))
    config = tiny_config("llama") | {"quantization_config": {"quant_method": "exl9"}}
    found = read_precision(info_of(write_headers(tmp_path / "other", config, tiny)))
    assert any("does not know: `exl9`" in each for each in found.disagreements)
