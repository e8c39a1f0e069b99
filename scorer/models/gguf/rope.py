"""Whether a GGUF file turns rotary positions as the reference does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scorer.common.inert_text import shown
from scorer.models.gguf.architectures import ROPE_FACTORS, Architecture
from scorer.models.gguf.config import number_stated, same_float, size_stated
from scorer.models.gguf.file import GGUFFile
from scorer.models.gguf.header import read_floats
from scorer.models.rope_parameters import ORIGINAL, scaling_of
from scorer.models.same_config import rope_values

# Of factors that a converter computed in float32.
_NEARLY = 1e-4
_DEFAULT_BASE = 10_000.0


def rope_difference(
    gguf: GGUFFile, architecture: Architecture, reference: Mapping[str, Any], head_dim: int
) -> str | None:
    """How a file turns positions otherwise than the reference.

    Args:
        gguf: The file.
        architecture: Its architecture.
        reference: The whole of the reference's ``config.json``.
        head_dim: Elements of a head.

    Returns:
        The difference, one line that speaks of the file as "its"; None if there is none.

    Raises:
        InputError: A value is no number, or the file cannot be read.
    """
    mine = _reference_values(reference, architecture)
    base = mine["rope_theta"] or _DEFAULT_BASE
    own = number_stated(gguf, "rope.freq_base", _DEFAULT_BASE)
    if not same_float(own, base):
        return f"its base of rotary positions is {own:g} and the reference's {shown(base)}"
    if mine["rope_traditional"] and not architecture.turns_neighbours:
        return "it turns elements half a head apart, and the reference neighbours"
    part = mine["partial_rotary_factor"]
    dims = head_dim if part is None else int(head_dim * part)
    if (stated := size_stated(gguf, "rope.dimension_count", dims)) != dims:
        return f"it turns {stated} elements of a head and the reference {dims}"
    return _other_scaling(gguf, mine["rope_scaling"], base, dims)


def _reference_values(reference: Mapping[str, Any], architecture: Architecture) -> dict[str, Any]:
    """As of :func:`rope_values`, also where mlx-lm itself reads ``rope_parameters``."""
    found = rope_values(reference, architecture.mlx)
    stated = reference.get("rope_parameters")
    if found["rope_theta"] is None and isinstance(stated, dict):
        found["rope_theta"] = stated.get("rope_theta")
        found["rope_scaling"] = found["rope_scaling"] or scaling_of(stated)
    return found


def rows_are_moved(architecture: Architecture, reference: Mapping[str, Any]) -> bool:
    """Whether a file has rows of queries and keys in another order than the reference.

    Args:
        architecture: Architecture of the file.
        reference: The whole of the reference's ``config.json``.
    """
    neighbours = bool(rope_values(reference, architecture.mlx)["rope_traditional"])
    return architecture.turns_neighbours and not neighbours


def _other_scaling(
    gguf: GGUFFile, scaling: Mapping[str, Any] | None, base: float, dims: int
) -> str | None:
    kind, factor, original = _stated_scaling(gguf)
    factors = _factors(gguf, dims)
    wanted = None if scaling is None else scaling["type"]
    same = wanted == kind
    if wanted == "llama3" and scaling is not None:
        expected = llama3_factors(scaling, base, dims)
        if factors is None:
            return f"it has no `{ROPE_FACTORS}`, and the reference scales positions as Llama 3 does"
        same = kind is None and len(factors) == len(expected)
        same = same and all(
            math.isclose(one, other, rel_tol=_NEARLY)
            for one, other in zip(factors, expected, strict=True)
        )
    elif factors is not None:
        same = False
    elif same and scaling is not None:
        same = wanted in ("linear", "yarn") and same_float(factor, scaling.get("factor"))
        same = same and (wanted == "linear" or original == scaling.get(ORIGINAL))
    if same:
        return None
    own = "not scaled" if kind is None else f"scaled by {shown(kind)}"
    if kind is None and factors is not None:
        own = "scaled by factors of its own"
    other = "not scaled" if scaling is None else f"scaled by {shown(dict(scaling))}"
    return f"its rotary positions are {own}, and the reference's {other}"


def _stated_scaling(gguf: GGUFFile) -> tuple[str | None, float, Any]:
    """Kind, factor and original context of the scaling that a file states."""
    begin = f"{gguf.architecture}.rope."
    kind = gguf.values.get(f"{begin}scaling.type")
    if kind is None and f"{begin}scale_linear" in gguf.values:
        factor = number_stated(gguf, "rope.scale_linear")
        return (None if factor == 1 else "linear"), factor, None
    factor = number_stated(gguf, "rope.scaling.factor", 1.0)
    named = None if kind in (None, "none") else str(kind)
    return named, factor, gguf.values.get(f"{begin}scaling.original_context_length")


def _factors(gguf: GGUFFile, dims: int) -> Sequence[float] | None:
    """What the file divides frequencies by; None for nothing."""
    tensor = gguf.tensors.get(ROPE_FACTORS)
    if tensor is None:
        return None
    found = read_floats(tensor, dims)
    if found is None:
        return []
    return None if all(factor == 1 for factor in found) else found


def llama3_factors(scaling: Mapping[str, Any], base: float, dims: int) -> list[float]:
    """What Llama 3 divides the frequencies of rotary positions by.

    Args:
        scaling: ``rope_scaling`` of the config.
        base: Base of the frequencies.
        dims: Elements of a head that are turned.

    Returns:
        dims / 2 factors.

    Source: ``_compute_llama3_parameters`` of transformers.
    """
    factor = float(scaling.get("factor", 8.0))
    low, high = (
        float(scaling.get(name, default))
        for name, default in (("low_freq_factor", 1.0), ("high_freq_factor", 4.0))
    )
    length = float(scaling.get(ORIGINAL) or 8192)
    found = []
    for i in range(0, dims, 2):
        wavelength = 2 * math.pi * base ** (i / dims)
        if wavelength < length / high:
            found.append(1.0)
        elif wavelength > length / low:
            found.append(factor)
        else:
            smooth = (length / wavelength - low) / (high - low)
            found.append(1 / ((1 - smooth) / factor + smooth))
    return found
