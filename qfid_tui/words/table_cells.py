"""The numbers of the settings table as text that is never longer than its column.

A number that is cut would be another number: each has a shorter form for a column that is too
narrow for its usual one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qfid_tui.pictures.canvas import VERDICT_SIGNS
from qfid_tui.state.kv_cost import short_bytes
from scorer.report.deployment_part import REFERENCE_CELL
from scorer.report.formats.inline import ABSENT, ROUGHLY, count, digits, is_symmetric, with_margin
from scorer.spec.amounts import shown_bytes, tokens_word

if TYPE_CHECKING:
    from qfid_tui.state.grid import Grid
    from qfid_tui.state.kv_cost import KVCost
    from qfid_tui.state.setting_results import Figures
    from qfid_tui.state.weights_offer import WeightsInfo


def verdict_text(figures: Figures) -> str:
    """Sign and word: ``✓ good``, ``~ marginal?`` where it is open."""
    return f"{VERDICT_SIGNS.get(figures.verdict, '?')} {figures.shown_verdict}"


def share_text(share: float) -> str:
    """A share from 0 to 1 as percent, three digits at most: ``0.86 %``, ``46.8 %``, ``100 %``."""
    percent = 100 * share
    places = 2 if percent < 9.995 else 1 if percent < 99.95 else 0
    return f"{percent:.{places}f} %"


def cost_text(cost: KVCost, width: int) -> str:
    """Bytes per token: ``327 680``, or ``320 KiB`` where that is too long."""
    shown = count(cost.per_token)
    if len(cost.sign + shown) > width:
        shown = short_bytes(cost.per_token)
    return cost.sign + shown


@dataclass(frozen=True, slots=True)
class TotalBytes:
    """Total bytes of settings, where a run compares weights.

    Attributes:
        context: The context in words.
        of: Setting in notation, "" for the reference, to its bytes.
    """

    context: str
    of: Mapping[str, int]

    def text(self, setting: str) -> str:
        """Those of a setting; a dash for one that is neither scored nor ticked."""
        return shown_bytes(self.of[setting]) if setting in self.of else ABSENT


def total_bytes(grid: Grid) -> TotalBytes | None:
    """The total bytes of the cells of a grid; None where they are not known."""
    if grid.part is None:
        return None
    found = {cell.setting: cell.total_bytes for cell in grid.part.cells}
    if REFERENCE_CELL in found:
        found[""] = found.pop(REFERENCE_CELL)
    return TotalBytes(tokens_word(grid.part.context), found)


def cost_head(totals: TotalBytes | None, width: int) -> str:
    """The head of the column of bytes."""
    if totals is None:
        return "KV B/token" if width >= 10 else "B/token"
    forms = (f"total at {totals.context}", f"total {totals.context}", f"at {totals.context}")
    return next((form for form in forms if len(form) <= width), forms[-1])


def weights_bytes_text(weights: WeightsInfo | None) -> str:
    """Bytes of weights: ``143 MB``."""
    if weights is None:
        return ABSENT
    return ("" if weights.exact else ROUGHLY) + shown_bytes(weights.weight_bytes)


def short_precision(weights: WeightsInfo) -> str:
    """The precision of weights without the bits per weight, which stand beside it."""
    return re.sub(r", [0-9.]+ bits per weight", "", weights.precision)


def number_text(value: float | None, width: int, *, significant: int, sign: bool = False) -> str:
    """A number: ``+0.00045``, or ``+4.5e-120`` where that is too long."""
    shown = digits(value, sign=sign, significant=significant)
    for places in range(significant - 1, -1, -1):
        if len(shown) <= width or value is None:
            break
        shown = ("+" if sign and value >= 0 else "") + _power(value, places)
    return shown


def margin_text(figures: Figures, width: int = 17) -> str:
    """KL mean and half its 95 % interval: ``0.1162 ±.0061``, or ``1.36e-4 ±6.2e-6``.

    One that is not symmetric shows its ends: ``0.733 (.654–.821)``, or
    ``1.28 (1.1–1.4)e-4``; where it ends at 0 ``0.0012 (0–.0031)``, or ``1.36e-4 (0–3e-4)``.
    Without room for either the interval is left out.
    """
    interval, mean = figures.kl_interval, figures.kl_mean
    shown = with_margin(mean, interval).replace(" ± 0.", " ±.").replace("(0–0.", "(0–.")
    shown = shown.replace("(0.", "(.").replace("–0.", "–.")
    if len(shown) <= width:
        return shown
    shown = _power(mean, 2)
    if interval is None:
        return shown
    if not is_symmetric(mean, interval) and interval.low > 0:
        # Mean and ends share the power of ten.
        mantissa, _, power = shown.partition("e")
        ends = (f"{end / 10.0 ** int(power):.1f}" for end in (interval.low, interval.high))
        shorter = f"{mantissa} ({'–'.join(ends)})e{power}"
        return shorter if len(shorter) <= width else shown
    if not is_symmetric(mean, interval):
        end = f" (0–{_power(interval.high, 0)})"
    else:
        end = f" ±{_power((interval.high - interval.low) / 2, 1)}"
    return shown + end if len(shown + end) <= width else shown


def _power(value: float, places: int) -> str:
    mantissa, _, exponent = f"{value:.{places}e}".partition("e")
    shown = f"{mantissa}e{int(exponent)}" if exponent else mantissa
    return shown.replace("-", "−", 1) if value < 0 else shown
