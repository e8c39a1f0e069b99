"""What ``mlx_lm.convert`` would make of a model's weights, predicted from its headers.

Source: ``mlx_lm.convert`` and ``mlx_lm.utils.quantize_model``. A layer is quantized if it has a
matrix whose rows the group size divides, unless the architecture's own predicate says otherwise.
Floating-point parameters are cast first to the dtype that the config states.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from scorer.common.errors import InputError
from scorer.models.architecture_source import (
    NeedsModel,
    Predicate,
    bare_matrices,
    predicate_of,
)
from scorer.models.config_geometry import text_config
from scorer.models.disagreements import stated_dtype
from scorer.models.packed_layers import PackedLayer
from scorer.models.precision import precision_of
from scorer.models.weight_layout import WeightLayout, read_layout
from scorer.models.weight_precision import WeightPrecision
from scorer.models.weight_tensors import BYTES, FLOATS, Tensor
from scorer.spec.weight_format import AFFINE, WeightFormat, weight_format

if TYPE_CHECKING:
    from scorer.models.info import ModelInfo

_SAFETENSORS = {name: short for short, name in FLOATS.items()}
# Matrices of modules that mlx-lm does not quantize, by the last part of their path.
_NEVER = ("norm", "conv", "A_log", "pos_emb", "inv_freq")


def predicted_precision(
    info: ModelInfo,
    bits: int | None = None,
    group_size: int | None = None,
    mode: str = AFFINE,
) -> WeightPrecision:
    """Predict the precision that ``mlx_lm.convert`` would give a model.

    Args:
        info: The model to be quantized.
        bits: Bits of a code; None for the default of the mode.
        group_size: Elements that share a scale; None for the default of the mode.
        mode: ``affine``, ``mxfp4``, ``mxfp8`` or ``nvfp4``.

    Returns:
        The precision. Layers that are quantized already stay as they are. ``exact`` is True where
        bits, bytes and layers are those that would be written; False where the architecture
        chooses layers by more than their path, or mlx-lm changes the shape of a matrix first.

    Raises:
        InputError: MLX has no such format, no layer can be quantized to it, or the headers cannot
            be read.
    """
    return predicted_from(read_layout(info), info, weight_format(mode, bits, group_size))


def predicted_from(layout: WeightLayout, info: ModelInfo, to: WeightFormat) -> WeightPrecision:
    """:func:`predicted_precision` of weights that have been read.

    Raises:
        InputError: No layer can be quantized to the format.
    """
    config = layout.config
    arguments = dict(config) | text_config(dict(config)).data
    choose, certain = predicate_of(info.architecture, "quant_predicate", arguments)
    casts, certain_cast = predicate_of(info.architecture, "cast_predicate", arguments)
    try:
        tensors = _cast(layout, casts)
    except NeedsModel:
        tensors, certain_cast = _cast(layout, None), False
    packed = dict(layout.packed)
    chosen = 0
    for path, weight in _matrices(tensors, bare_matrices(info.architecture)).items():
        if path in packed or weight.shape[-1] % to.group_size:
            continue
        try:
            own = _chosen(choose, path, to)
        except NeedsModel:
            own, certain = to, False
        if own is None or weight.shape[-1] % own.group_size:
            continue
        chosen += 1
        packed[path] = _packed(path, weight, own)
        del tensors[f"{path}.weight"]
        tensors |= _parts(path, packed[path], weight)
    if not chosen:
        raise InputError(
            f"`{info.name}` has no weights that can be quantized to {to.words}",
            "its weights are quantized already; name a full-precision model"
            if layout.packed
            else "choose a group size that divides its layers",
        )
    after = dataclasses.replace(layout, tensors=tensors, stored=tensors, packed=packed, stated=None)
    found = precision_of(after)
    # mlx-lm cuts this matrix in two others before it quantizes them.
    split = any(".kv_b_proj." in name for name in layout.tensors)
    exact = certain and certain_cast and not split and found.exact
    return dataclasses.replace(found, exact=exact, disagreements=())


def _cast(layout: WeightLayout, casts: Predicate | None) -> dict[str, Tensor]:
    dtype = stated_dtype(layout.config)
    if dtype is None:
        return dict(layout.tensors)
    to = _SAFETENSORS[dtype]
    return {
        name: tensor.cast(to)
        if tensor.dtype in FLOATS and (casts is None or casts(name))
        else tensor
        for name, tensor in layout.tensors.items()
    }


def _matrices(tensors: Mapping[str, Tensor], bare: frozenset[str]) -> dict[str, Tensor]:
    """The weights of layers that may be quantized, by path."""
    found = {}
    for name, tensor in tensors.items():
        path, _, last = name.rpartition(".")
        if last != "weight" or len(tensor.shape) < 2 or tensor.dtype not in FLOATS:
            continue
        kind = next((part for part in reversed(path.split(".")) if not part.isdigit()), "")
        if kind not in bare and not any(each in kind for each in _NEVER):
            found[path] = tensor
    return found


def _chosen(choose: Predicate | None, path: str, to: WeightFormat) -> WeightFormat | None:
    """The format of a layer: what was asked, the architecture's own, or None for none."""
    answer = True if choose is None else choose(path)
    if isinstance(answer, dict):
        return weight_format(
            answer.get("mode", AFFINE), answer.get("bits"), answer.get("group_size")
        )
    return to if answer else None


def _packed(path: str, weight: Tensor, own: WeightFormat) -> PackedLayer:
    width = weight.shape[-1]
    scales = FLOATS[weight.dtype] if own.mode == AFFINE else "uint8"
    size = own.stored_bytes(weight.rows, width, BYTES[weight.dtype])
    return PackedLayer(path, own, width, weight.elements, size, scales, (width,))


def _parts(path: str, layer: PackedLayer, weight: Tensor) -> dict[str, Tensor]:
    words = layer.width * layer.format.bits // 32
    groups = layer.width // layer.format.group_size
    affine = layer.format.mode == AFFINE
    codes = (*weight.shape[:-1], words)
    scales = Tensor("U8", (*weight.shape[:-1], groups), 0).cast(weight.dtype if affine else "U8")
    found = {f"{path}.weight": Tensor("U32", codes, 0).cast("U32"), f"{path}.scales": scales}
    return found | ({f"{path}.biases": scales} if affine else {})
