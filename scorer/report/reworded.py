"""Warnings that earlier versions stored with a claim that is false, in the words of this one.

Pure standard library.
"""

from __future__ import annotations

from collections.abc import Iterable

ONE_WIDTH = "mlx-lm cannot run this setting: its cache holds one width for K and V"
NOT_THIS_MODEL = "mlx-lm cannot run this setting on this model; the figure is the quantizer's"

# Other runtimes than mlx-lm do hold such settings.
_REWORDED = {
    "mlx-lm holds one width for K and V: no shipped runtime runs this setting": ONE_WIDTH,
    "mlx-lm cannot run this setting on this model: no shipped runtime does, and the figure is the "
    "quantizer's": NOT_THIS_MODEL,
}


def reworded(warnings: Iterable[str]) -> tuple[str, ...]:
    """Return warnings of a saved run as this version says them."""
    return tuple(_REWORDED.get(warning, warning) for warning in warnings)
