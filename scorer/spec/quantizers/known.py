"""The quantizers that this version knows, by name."""

from __future__ import annotations

import re

from scorer.spec.quantizers.affine import Affine
from scorer.spec.quantizers.base import Quantizer

STOCK = Affine
"""The quantizer that a number of bits alone stands for: MLX's own."""

QUANTIZERS: dict[str, type[Quantizer]] = {STOCK.name: STOCK}
"""Name in the notation of settings to the description."""

# Methods of mlx-quant-fidelity, at the beginning of a setting, and our notation of them.
_ALIASES = tuple(
    (re.compile(pattern + r"(?=$|@|~)"), notation)
    for pattern, notation in (
        (r"stock:([0-9]+)(:[0-9]+)?", r"\1\2"),
        (r"affine:([0-9]+):([0-9]+)(:[0-9]+)?", r"k\1v\2\3"),
        (r"turboquant:([0-9]+)", r"turboquant\1"),
        (r"turboquant:([0-9]+):([0-9]+)", r"turboquant\1:seed=\2"),
    )
)


def without_alias(text: str) -> str:
    """A setting in our notation where it begins with a method of mlx-quant-fidelity.

    ``stock:4:64`` is ``4:64``, ``affine:6:4`` is ``k6v4``, ``turboquant:4:7`` is
    ``turboquant4:seed=7``; any other text is returned as it is.
    """
    for alias, notation in _ALIASES:
        match = alias.match(text)
        if match is not None:
            return match.expand(notation) + text[match.end() :]
    return text
