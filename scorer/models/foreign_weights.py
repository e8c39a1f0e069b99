"""Weights that other programs quantized, in the shapes that mlx-lm makes of them.

The shapes follow ``mlx_lm.utils.load_model`` and the ``sanitize`` methods of its architectures.
"""

from __future__ import annotations

from collections.abc import Callable

from scorer.models.stated_quantization import StatedQuantization
from scorer.models.weight_tensors import FLOATS, Tensor, Tensors

_Changed = dict[str, Tensor]


def in_mlx_shapes(tensors: Tensors, stated: StatedQuantization | None) -> dict[str, Tensor]:
    """The tensors as mlx-lm has them once it has converted them.

    Args:
        tensors: The tensors that it loads.
        stated: What the config says of their quantization.

    Returns:
        Quantized weights as ``weight``, ``scales`` and ``biases`` in MLX's shapes; weights that
        mlx-lm dequantizes as it loads them in its dtype; others as they are.
    """
    convert = _METHODS.get("" if stated is None else stated.method)
    return dict(tensors) if convert is None else convert(tensors)


def foreign_layers(tensors: Tensors, stated: StatedQuantization | None) -> frozenset[str]:
    """Paths of layers that are stored in fewer bits than mlx-lm makes of them."""
    method = "" if stated is None else stated.method
    if method == "bitnet":
        ends: tuple[str, ...] = (".weight_scale",)
    elif method == "fp8":
        ends = (".weight_scale_inv",)
    else:
        return frozenset()
    return frozenset(
        name.removesuffix(end) for name in tensors for end in ends if name.endswith(end)
    )


def _awq(tensors: Tensors) -> _Changed:
    """AutoAWQ and GPTQ: (in, out/8) codes become (out, in/8); all floats get the scales' dtype."""
    found: _Changed = {}
    dtype = next((t.dtype for name, t in tensors.items() if name.endswith(".scales")), "F16")
    dtype = dtype if dtype in FLOATS else "F16"
    for name, tensor in tensors.items():
        path, _, last = name.rpartition(".")
        if last == "qweight" and len(tensor.shape) == 2:
            width, packed = tensor.shape
            found[f"{path}.weight"] = Tensor("U32", (packed * 8, width // 8), tensor.bytes)
        elif last == "scales" and len(tensor.shape) == 2:
            scales = Tensor(tensor.dtype, tensor.shape[::-1], tensor.bytes)
            found[name] = scales
            found[f"{path}.biases"] = scales
        elif last not in ("qzeros", "g_idx"):
            found[name] = tensor.cast(dtype) if tensor.dtype in FLOATS else tensor
    return found


def _compressed(tensors: Tensors) -> _Changed:
    found: _Changed = {}
    for name, tensor in tensors.items():
        path, _, last = name.rpartition(".")
        if last == "weight_packed" and tensor.shape:
            found[f"{path}.weight"] = _as_words(tensor)
        elif last == "weight_scale" and f"{path}.weight_packed" in tensors:
            if tensor.dtype in FLOATS:
                found[f"{path}.biases"] = tensor
                found[f"{path}.scales"] = tensor
            else:
                found[f"{path}.scales"] = Tensor("U8", tensor.shape, tensor.bytes)
        elif last == "weight_global_scale":
            found[f"{path}.global_scale"] = tensor
        elif last not in ("weight_shape", "input_global_scale"):
            found[name] = tensor
    return found


def _modelopt(tensors: Tensors) -> _Changed:
    found: _Changed = {}
    for name, tensor in tensors.items():
        path, _, last = name.rpartition(".")
        scaled = f"{path}.weight_scale" in tensors
        if last == "weight" and scaled and tensor.dtype == "U8" and tensor.shape:
            found[name] = _as_words(tensor)
        elif last == "weight_scale":
            found[f"{path}.scales"] = Tensor("U8", tensor.shape, tensor.bytes)
        elif last == "weight_scale_2":
            found[f"{path}.global_scale"] = tensor
        elif last not in ("input_scale", "k_scale", "v_scale"):
            found[name] = tensor
    return found


def _mxfp4(tensors: Tensors) -> _Changed:
    """gpt-oss: blocks of 16 bytes become words."""
    found: _Changed = {}
    for name, tensor in tensors.items():
        if name.endswith("_blocks") and len(tensor.shape) > 2:
            flat = Tensor("U8", (*tensor.shape[:-2], tensor.shape[-2] * tensor.shape[-1]), 0)
            path = name.removesuffix("_blocks")
            found[f"{path}.weight"] = Tensor("U32", _as_words(flat).shape, tensor.bytes)
        elif name.endswith("_scales"):
            found[f"{name.removesuffix('_scales')}.scales"] = tensor
        elif name.endswith("proj_bias"):
            found[f"{name.removesuffix('_bias')}.bias"] = tensor
        else:
            found[name] = tensor
    return found


def _fp8(tensors: Tensors) -> _Changed:
    """Blocks of fp8: mlx-lm makes bfloat16 of them."""
    found: _Changed = {}
    for name, tensor in tensors.items():
        if name.endswith(".weight_scale_inv"):
            continue
        scaled = f"{name}_scale_inv" in tensors
        found[name] = tensor.cast("BF16") if scaled else tensor
    return found


def _as_words(tensor: Tensor) -> Tensor:
    """Codes in 32-bit words."""
    size = 4 if tensor.dtype in ("I32", "U32") else 1
    return Tensor("U32", (*tensor.shape[:-1], tensor.shape[-1] * size // 4), tensor.bytes)


_METHODS: dict[str, Callable[[Tensors], _Changed]] = {
    "awq": _awq,
    "gptq": _awq,
    "compressed-tensors": _compressed,
    "modelopt": _modelopt,
    "mxfp4": _mxfp4,
    "fp8": _fp8,
}
