"""What the charts say and draw of a second setting that is laid over the first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, repeat

from qfid_tui.pictures.bars import OTHER_SIGN, Mean, value_text
from qfid_tui.state.overlay import Overlay
from scorer.report.formats.inline import digits


def named(setting: str, other: Overlay | None) -> str:
    """For the title: the setting, or both with the mark of the other one."""
    return f"setting {setting}" if other is None else f"{setting}, {OTHER_SIGN} {other.name}"


def reading(what: str, value: float, other: Overlay | None, at: int) -> str:
    """A bar in words: its value, or how far it is from that of the other setting.

    Args:
        what: What the bar stands for.
        value: Its value, nats.
        other: The other setting, or None.
        at: Index of the bar.
    """
    if other is None:
        return f"{what}: {value_text(value, 3)} nats"
    its = other.values[at] if at < len(other.values) else None
    if its is None:
        return f"{what}: {value_text(value, 3)} nats, {other.name} has none"
    values = f"{value_text(value, 3)}, {other.name}: {value_text(its, 3)}"
    return f"{what} less {other.name}: {_signed(value - its)} nats ({values})"


def mean_difference(values: Sequence[float], other: Overlay | None) -> str:
    """The mean over the bars that both settings have, minus that of the other one."""
    if other is None:
        return ""
    pairs = [(own, its) for own, its in zip(values, other.values, strict=False) if its is not None]
    if not pairs:
        return f"no bar in common with {other.name}"
    difference = sum((own - its) / len(pairs) for own, its in pairs)
    return f"mean less {other.name}: {_signed(difference)}"


def values_of(other: Overlay | None) -> Iterable[float | None]:
    """The value of the other setting for each bar."""
    return chain(() if other is None else other.values, repeat(None))


def means_of(mean: Mean | None, other: Overlay | None) -> list[Mean]:
    """The means that are drawn at the right end."""
    its = None if other is None else other.mean
    return [found for found in (mean, its) if found is not None]


def _signed(value: float) -> str:
    return digits(value, sign=True, significant=3)
