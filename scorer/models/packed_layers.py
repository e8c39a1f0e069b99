"""Quantized layers of a model: their format and unquantized shape, from packed shapes.

A packed weight has ``width · bits / 32`` words a row and ``width / group size`` scales. Both follow
from the width, which mlx-lm takes from the module that it builds. Here it is found in what the
config and the other tensors say: without it 4 bits in groups of 64 and 8 bits in groups of 32 look
alike.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scorer.models.config_geometry import hidden_size, query_heads, text_config
from scorer.models.stated_quantization import StatedQuantization
from scorer.models.weight_tensors import FLOATS, Tensor, Tensors
from scorer.spec.weight_format import AFFINE, AFFINE_BITS, FIXED, WeightFormat

# Parts of a quantized layer beside its weight.
PARTS = ("scales", "biases", "global_scale")

# MLX reads one bit too, but quantizes to it only where it is asked by name.
_BITS = (*AFFINE_BITS, 1)
# Where nothing says which: the usual ones first.
_GROUPS = (64, 32, 128)
_LEAST_WIDTH = 16

# Layers that read the hidden state, by the last part of their path.
_OF_HIDDEN = frozenset(
    (
        "embed_tokens word_embeddings wte tok_embeddings embed_in lm_head embed_out q_proj k_proj "
        "v_proj qkv_proj query_key_value Wqkv W_pack c_attn q_a_proj kv_a_proj_with_mqa gate_proj "
        "up_proj gate_up_proj w1 w3 c_fc fc1 dense_h_to_4h gate router in_proj"
    ).split()
)
# Layers that read what others in the same block write, all of which have as many rows. Where one of
# two is missing its rows may be both.
_AFTER = {
    "down_proj": ("up_proj", "gate_proj"),
    "w2": ("w3", "w1"),
    "fc2": ("fc1",),
    "dense_4h_to_h": ("dense_h_to_4h",),
    "q_b_proj": ("q_a_proj",),
}
_AFTER_ATTENTION = ("o_proj", "out_proj", "wo", "dense")
# Beside them stands what makes queries, keys and values at once.
_FUSED = ("qkv_proj", "query_key_value", "Wqkv", "W_pack", "c_attn", "kv_b_proj", "embed_q")


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """A quantized layer.

    Attributes:
        path: Its path, without ``.weight``.
        format: How it is stored.
        width: Elements of a row.
        elements: Elements of its weight.
        bytes: Bytes of its codes, scales and biases.
        scales: MLX's name of the dtype of its scales.
        widths: Every width that its shapes allow.
    """

    path: str
    format: WeightFormat
    width: int
    elements: int
    bytes: int
    scales: str
    widths: tuple[int, ...]


def packed_layers(
    tensors: Tensors, config: Mapping[str, Any], stated: StatedQuantization | None
) -> dict[str, PackedLayer]:
    """The quantized layers among tensors in MLX's shapes, by path.

    Args:
        tensors: As of :func:`scorer.models.foreign_weights.in_mlx_shapes`.
        config: The whole of ``config.json``.
        stated: What it says of quantization.

    Raises:
        InputError: A size in the config is absurd.
    """
    pairs = {
        path: (tensors[f"{path}.weight"], tensor)
        for name, tensor in tensors.items()
        if (path := name.removesuffix(".scales")) != name
        and (weight := tensors.get(f"{path}.weight")) is not None
        and weight.dtype == "U32"
    }
    if not pairs:
        return {}
    clues = _Clues(tensors, config)
    shapes = {
        path: by_width
        for path, (weight, scales) in pairs.items()
        if (by_width := _by_width(path, weight, scales, tensors, stated))
    }
    sure = {path: clues.by_place(path, by_width) for path, by_width in shapes.items()}
    # A config that is right wherever it can be checked is right elsewhere too.
    right = all(
        _is_stated(shapes[path][width], path, stated)
        for path, width in sure.items()
        if width is not None
    )
    found = {}
    for path, by_width in shapes.items():
        width = sure[path]
        if width is None:
            as_stated = (w for w, each in by_width.items() if _is_stated(each, path, stated))
            said = next(as_stated, None)
            width = said if right and said is not None else clues.by_size(by_width, said)
        found[path] = _layer(path, width, by_width, tensors)
    return found


def _by_width(
    path: str,
    weight: Tensor,
    scales: Tensor,
    tensors: Tensors,
    stated: StatedQuantization | None,
) -> dict[int, WeightFormat]:
    """Width of a layer to format, of all that its shapes allow."""
    found = [*possible_formats(weight, scales, f"{path}.global_scale" in tensors)]
    # One bit is so rare that only the config, or the lack of another width, makes it likely.
    likely = [each for each in found if each.bits > 1 or _is_stated(each, path, stated)]
    return {scales.shape[-1] * each.group_size: each for each in likely or found}


def _is_stated(each: WeightFormat, path: str, stated: StatedQuantization | None) -> bool:
    said = None if stated is None else stated.layers.get(path, stated.base)
    return said is not None and (said.bits, said.group_size) == (each.bits, each.group_size)


def _layer(
    path: str, width: int, by_width: Mapping[int, WeightFormat], tensors: Tensors
) -> PackedLayer:
    parts = (tensors.get(f"{path}.{part}") for part in ("weight", *PARTS))
    return PackedLayer(
        path,
        by_width[width],
        width,
        tensors[f"{path}.weight"].rows * width,
        sum(part.bytes for part in parts if part is not None),
        FLOATS.get(tensors[f"{path}.scales"].dtype, "uint8"),
        tuple(by_width),
    )


def possible_formats(
    weight: Tensor, scales: Tensor, global_scale: bool = False
) -> Iterator[WeightFormat]:
    """The formats in which MLX makes codes and scales of these shapes, the usual first."""
    if not weight.shape or not scales.shape or not scales.shape[-1]:
        return
    if weight.shape[:-1] != scales.shape[:-1]:
        return
    product, rest = divmod(32 * weight.shape[-1], scales.shape[-1])
    if rest:
        return
    if scales.dtype == "U8":
        for mode, (bits, group) in FIXED.items():
            if bits * group == product:
                yield WeightFormat(mode, bits, group, global_scale)
        return
    for bits in _BITS:
        for group in _GROUPS:
            if bits * group == product:
                yield WeightFormat(AFFINE, bits, group)


class _Clues:
    """What config and tensors say of the widths of layers."""

    def __init__(self, tensors: Tensors, config: Mapping[str, Any]) -> None:
        part = text_config(dict(config)).data
        self._tensors = tensors
        self._hidden = hidden_size(dict(config))
        self._attention = _attention_widths(part, query_heads(dict(config)))
        lengths = {t.shape[0] for t in tensors.values() if len(t.shape) == 1}
        sizes = {v for v in part.values() if type(v) is int and v >= _LEAST_WIDTH}
        self._sizes = lengths | sizes | self._attention

    def by_place(self, path: str, by_width: Collection[int]) -> int | None:
        """The width that the place of a layer in the model makes sure; None where it does not."""
        if len(by_width) == 1:
            return next(iter(by_width))
        for clue in self._of_place(path):
            kept = [width for width in by_width if width in clue]
            if len(kept) == 1:
                return kept[0]
        return None

    def by_size(self, by_width: Mapping[int, WeightFormat], said: int | None) -> int:
        """The likeliest width, by what sizes the model has.

        Args:
            by_width: Width to format.
            said: The width that follows from what the config says, or None.
        """
        left = [width for width in by_width if width in self._sizes] or [*by_width]
        if said in left:
            return said
        return min(left, key=lambda width: _GROUPS.index(by_width[width].group_size))

    def _of_place(self, path: str) -> Iterator[Collection[int | None]]:
        block, _, last = path.rpartition(".")
        if last in _OF_HIDDEN and self._hidden is not None:
            yield (self._hidden,)
        if (names := _AFTER.get(last)) is not None:
            rows = [self._rows(f"{block}.{name}") for name in names]
            yield {*rows} if len({*rows}) == 1 else ()
        # Linear attention has widths of its own.
        if last in _AFTER_ATTENTION and f"{block}.A_log" not in self._tensors:
            queries = self._rows(f"{block}.q_proj")
            fused = any(self._rows(f"{block}.{name}") is not None for name in _FUSED)
            yield {each for each in self._attention if fused or each == queries}
        if last == "kv_b_proj":
            norm = self._tensors.get(f"{block}.kv_a_layernorm.weight")
            yield norm.shape if norm is not None else ()

    def _rows(self, path: str) -> int | None:
        weight = self._tensors.get(f"{path}.weight")
        return weight.shape[-2] if weight is not None and len(weight.shape) > 1 else None


def _attention_widths(part: Mapping[str, Any], heads: int | None) -> set[int]:
    """Widths of what all heads write together; empty where layers may have heads of other sizes."""
    hidden = part.get("hidden_size")
    dims = [dim for name in ("v_head_dim", "head_dim") if type(dim := part.get(name)) is int]
    if heads and dims:
        return {heads * dims[0]} if len({*dims}) == 1 else set()
    return {hidden} if type(hidden) is int else set()
