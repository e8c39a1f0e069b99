"""The precision of a model's weights as values, and in one line of plain words."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from scorer.spec.weight_format import AFFINE, WeightFormat

_BITS = {"float64": 64, "float32": 32, "float16": 16, "bfloat16": 16}
# A format of fewer parameters is an exception, not part of a mix.
_MOST = 0.95
# Norms and biases are often kept in another dtype than matrices.
_NEARLY_ALL = 0.99


@dataclass(frozen=True, slots=True)
class QuantizedLayers:
    """The layers of a model that are stored in one format.

    Attributes:
        format: The format.
        scales: MLX's name of the dtype of their scales, such as ``float16``; ``uint8`` in modes
            other than affine.
        layers: How many there are.
        parameters: Elements of their weights.
    """

    format: WeightFormat
    scales: str
    layers: int
    parameters: int


@dataclass(frozen=True, slots=True)
class WeightPrecision:
    """The precision of a model's weights.

    Attributes:
        quantized: Its quantized layers by format, those with most parameters first.
        unquantized: MLX's name of a dtype to the elements that are stored in it, of everything
            that is not quantized, most elements first.
        embedding: Format of the token embedding; None if it is not quantized.
        head: Format of the output head; None if it is not quantized. The embedding's where that
            serves as the head.
        tied: Whether the token embedding serves as the output head.
        parameters: As mlx-lm counts them.
        stored_bytes: Bytes of the tensors in its files that mlx-lm loads.
        loaded_bytes: Bytes of the model once it is loaded. They differ where mlx-lm converts the
            weights of another program.
        exact: Whether all this is certain; False where mlx-lm changes the weights in ways that
            the headers do not show.
        disagreements: What config and tensors say otherwise, one sentence each.
    """

    quantized: tuple[QuantizedLayers, ...]
    unquantized: tuple[tuple[str, int], ...]
    embedding: WeightFormat | None
    head: WeightFormat | None
    tied: bool
    parameters: int
    stored_bytes: int
    loaded_bytes: int
    exact: bool = True
    disagreements: tuple[str, ...] = ()

    @property
    def bits_per_weight(self) -> float:
        """Bits of the loaded model, all of it, for each parameter.

        It is mlx-lm's ``compute_bits_per_weight``, but for constants that a model computes when it
        is built, such as scaled rotary frequencies: some hundred bytes.
        """
        return 8 * self.loaded_bytes / self.parameters if self.parameters else 0.0

    @property
    def is_quantized(self) -> bool:
        """Whether any layer is quantized."""
        return bool(self.quantized)

    @property
    def line(self) -> str:
        """The precision in plain words, one line."""
        return _line(self)


def _line(precision: WeightPrecision) -> str:
    """The precision of weights in one line."""
    if not precision.quantized:
        return _dtypes(precision)
    return (
        f"{_formats(precision)}, {precision.bits_per_weight:.2f} bits per weight{_ends(precision)}"
    )


def _formats(precision: WeightPrecision) -> str:
    kinds = precision.quantized
    first = kinds[0].format
    # A scale for the whole tensor makes no other format.
    rest = [each for each in kinds if _alike(each.format) != _alike(first)]
    if not rest:
        wide = ", scales in float32" if any(each.scales == "float32" for each in kinds) else ""
        return first.words + wide
    others = sum(each.parameters for each in rest)
    if others < (1 - _MOST) * sum(each.parameters for each in kinds):
        layers = sum(each.layers for each in rest)
        names = _joined(list(dict.fromkeys(each.format.short for each in rest)))
        return f"{first.words}, in {layers} small layer{'s' * (layers != 1)} {names}"
    formats = list(dict.fromkeys(_alike(each.format) for each in kinds))
    affine = [each for each in formats if each.mode == AFFINE]
    groups = {each.group_size for each in affine}
    if len(groups) > 1:
        return f"mix of {_joined([_compact(each) for each in formats])}"
    widths = [str(each.bits) for each in sorted(affine, key=lambda each: each.bits)]
    in_groups = f" bit, groups of {groups.pop()}" if groups else ""
    modes = [each.mode for each in formats if each.mode != AFFINE]
    if not modes:
        return f"mix of {_joined(widths)}{in_groups}"
    parts = [f"{width} bit" for width in widths] + modes
    return f"mix of {_joined(parts)}"


def _alike(each: WeightFormat) -> WeightFormat:
    return dataclasses.replace(each, global_scale=False)


def _compact(each: WeightFormat) -> str:
    return f"{each.bits} bit in groups of {each.group_size}" if each.mode == AFFINE else each.mode


def _ends(precision: WeightPrecision) -> str:
    """What is said of embedding and output head."""
    dtype = precision.unquantized[0][0] if precision.unquantized else "full precision"
    if precision.embedding is not None and precision.head is not None:
        return "; embedding and head too"
    if precision.embedding is None and precision.head is None:
        return f"; embedding and head in {dtype}"
    part = "embedding" if precision.embedding is None else "head"
    return f"; {part} in {dtype}"


def _dtypes(precision: WeightPrecision) -> str:
    total = sum(count for _, count in precision.unquantized)
    if not total:
        return "no floating-point weights"
    (first, most), *_ = precision.unquantized
    if most >= _NEARLY_ALL * total:
        return f"{_BITS[first]} bit ({first})"
    parts = [
        f"{_BITS[name]} bit ({name}, {100 * count / total:.0f} %)"
        for name, count in precision.unquantized
    ]
    return f"mix of {_joined(parts)}"


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
