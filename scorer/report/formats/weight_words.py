"""Precisions of weights in few words: for titles, badges and tables. Standard library."""

from __future__ import annotations

from scorer.report.setting_row import SettingRow
from scorer.runs.weight_facts import WeightFacts
from scorer.spec.settings.registry import parse_setting
from scorer.spec.settings.weights import MadeWeights, WeightsSource, cache_of, weights_of

_AFFINE = "affine"


def source_of(row: SettingRow) -> WeightsSource | None:
    """The weights of a row; None for the reference's."""
    return weights_of(parse_setting(row.setting))


def has_cache(row: SettingRow) -> bool:
    """Whether a row quantizes the KV cache."""
    return cache_of(parse_setting(row.setting)) is not None


def weights_text(row: SettingRow) -> str:
    """``4-bit weights``, ``mxfp8 weights``, ``mixed 4/6-bit weights``."""
    own = row.weights
    if own is None:
        source = source_of(row)
        if not isinstance(source, MadeWeights):
            return "quantized weights"
        width = f"{source.bits}-bit" if source.mode == _AFFINE else source.mode
        return f"{width} weights"
    if not own.formats:
        return f"{own.bits_per_weight:.3g}-bit weights, not quantized"
    kinds = {(each.mode, each.bits) for each in own.formats}
    if len(kinds) == 1:
        ((mode, bits),) = kinds
        return f"{bits}-bit weights" if mode == _AFFINE else f"{mode} weights"
    widths = sorted({bits for _, bits in kinds})
    return f"mixed {'/'.join(map(str, widths))}-bit weights"


def group_text(own: WeightFacts | None, usual: int | None = None) -> str:
    """`` (group 64)``; "" where the groups differ, or the format has one group size only.

    Args:
        own: The weights; None where they were not loaded.
        usual: The group size that need not be said; None for none.
    """
    groups = set() if own is None else {(each.mode, each.group_size) for each in own.formats}
    if len(groups) != 1:
        return ""
    ((mode, group),) = groups
    return f" (group {group})" if mode == _AFFINE and group != usual else ""
