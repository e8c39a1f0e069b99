"""What ``config.json`` says of the quantization of a model, in the order in which mlx-lm looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scorer.models.config import ModelConfig, read_object
from scorer.spec.weight_format import AFFINE, FIXED, WeightFormat

_MODELOPT = "hf_quant_config.json"
_MX_BLOCK = [32, 32]
_COMPRESSED = {
    "nvfp4-pack-quantized": WeightFormat("nvfp4", *FIXED["nvfp4"]),
    "mxfp4-pack-quantized": WeightFormat("mxfp4", *FIXED["mxfp4"]),
    "pack-quantized": WeightFormat(AFFINE, 4, 32),
}


@dataclass(frozen=True, slots=True)
class StatedQuantization:
    """The quantization that a config states.

    Attributes:
        method: ``mlx`` for mlx-lm's own ``quantization``; else the ``quant_method`` of another
            program, such as ``awq``; "" where the config states a quantization of no known kind.
        base: The format of layers that are not named; None if it is not stated.
        layers: Path of a layer to its own format, or to None where it is said not to be quantized.
    """

    method: str
    base: WeightFormat | None
    layers: Mapping[str, WeightFormat | None] = field(default_factory=dict)


def stated_quantization(config: Mapping[str, Any], folder: Path) -> StatedQuantization | None:
    """The quantization that a model's files state; None if they state none.

    Source: ``mlx_lm.utils.load_model``.

    Args:
        config: The whole of ``config.json``.
        folder: The model's folder, in which ModelOpt keeps a file of its own.

    Raises:
        InputError: A value is of the wrong type, or that file cannot be read.
    """
    whole = ModelConfig(dict(config))
    own = whole.section("quantization")
    if own is not None:
        layers = {
            path: _format(value) if isinstance(value, dict) else None
            for path, value in own.data.items()
            if isinstance(value, dict) or value is False
        }
        return StatedQuantization("mlx", _format(own.data), layers)
    section = whole.section("quantization_config")
    if section is None:
        text = whole.section("text_config")
        section = None if text is None else text.section("quantization_config")
    if section is None and (folder / _MODELOPT).is_file():
        section = ModelConfig(read_object(folder / _MODELOPT), _MODELOPT)
    if section is None:
        return None
    method = section.text("quant_method") or ""
    if not method and "quantization" in section.data:
        method = "modelopt"
    return StatedQuantization(method, _foreign(method, section.data))


def _foreign(method: str, data: Mapping[str, Any]) -> WeightFormat | None:
    if method in FIXED:
        return WeightFormat(method, *FIXED[method])
    if method == "fp8":
        blocks = data.get("weight_block_size")
        if data.get("scale_fmt") == "ue8m0" and blocks == _MX_BLOCK:
            return WeightFormat("mxfp8", *FIXED["mxfp8"])
        first = blocks[-1] if isinstance(blocks, list) and blocks else 0
        return WeightFormat("fp8", 8, first if type(first) is int else 0)
    if method == "compressed-tensors":
        return _COMPRESSED.get(str(data.get("format")))
    if method == "modelopt":
        return WeightFormat("nvfp4", *FIXED["nvfp4"])
    if method in ("awq", "gptq"):
        return WeightFormat(
            AFFINE, _whole(data.get("bits"), 4), _whole(data.get("group_size"), 128)
        )
    if method == "bitnet":
        return WeightFormat("bitnet", 2, 0)
    return None


def _format(data: Mapping[str, Any]) -> WeightFormat | None:
    mode = data.get("mode", AFFINE)
    default = FIXED.get(mode, (0, 0)) if isinstance(mode, str) else (0, 0)
    bits, group = _whole(data.get("bits"), default[0]), _whole(data.get("group_size"), default[1])
    if not isinstance(mode, str) or not bits or not group:
        return None
    return WeightFormat(mode, bits, group, data.get("global_scale") is True)


def _whole(value: Any, default: int) -> int:
    return value if type(value) is int and 0 < value <= 1 << 16 else default
