"""A second setting laid over the charts of the detail screen. Pure standard library."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qfid_tui.pictures.bars import Mean

if TYPE_CHECKING:
    from qfid_tui.state.setting_detail import KLHistogram, SettingDetail


@dataclass(frozen=True, slots=True)
class Overlay:
    """Another setting beside the one that a chart shows.

    Attributes:
        name: The other setting.
        values: Its value at each bar of the chart; None where it has none.
        mean: Its mean with its interval; None where the chart has no place for it.
    """

    name: str
    values: tuple[float | None, ...]
    mean: Mean | None = None


def mean_of(detail: SettingDetail | None) -> Mean | None:
    """KL mean of a setting with its 95 % interval, nats; None without numbers."""
    numbers = None if detail is None else detail.row.numbers
    if numbers is None:
        return None
    ends = numbers.intervals.kl_mean
    if ends is None:
        return Mean(numbers.kl.mean)
    return Mean(numbers.kl.mean, ends.low, ends.high)


def chunk_overlay(shown: SettingDetail, other: SettingDetail) -> Overlay:
    """KL mean of the other setting on the chunks of the shown one, nats."""
    means = dict(other.chunks)
    values = tuple(means.get(chunk) for chunk, _ in shown.chunks)
    return Overlay(other.setting, values, mean_of(other))


def depth_overlay(shown: SettingDetail, other: SettingDetail) -> Overlay:
    """KL mean of the other setting in the spans of the shown one that it has too, nats."""
    means = {(start, end): kl for start, end, kl in other.spans}
    values = tuple(means.get((start, end)) for start, end, _ in shown.spans)
    return Overlay(other.setting, values, mean_of(other))


def histogram_overlay(
    shown: KLHistogram, other: KLHistogram, name: str
) -> tuple[KLHistogram, Overlay]:
    """The shown histogram over the steps of both, and the positions of the other.

    The other's are scaled to the number of positions of the shown one, which can differ: the
    chart compares shares. Those that are zero or below come first, then the steps, then those
    that are infinite.

    Args:
        shown: The one that has the bars.
        other: The other one.
        name: Its setting.
    """
    # Equal steps have equal edges: both are counted from whole decades.
    edges = tuple(sorted({*shown.edges, *other.edges}))
    own, its = (dict(zip(part.edges, part.counts, strict=False)) for part in (shown, other))
    wide = replace(shown, edges=edges, counts=tuple(own.get(edge, 0) for edge in edges[:-1]))
    total = max(1, other.positions)
    counts = (other.nonpositive, *(its.get(edge, 0) for edge in edges[:-1]), other.infinite)
    return wide, Overlay(name, tuple(count / total * shown.positions for count in counts))
