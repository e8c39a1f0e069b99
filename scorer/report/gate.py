"""Whether the settings of a report pass a tier for sure: by intervals that hold together.

With ``S`` settings and ``C`` criteria there are ``S·C`` intervals, each of confidence
``1 - 5 % / (S·C)`` (Bonferroni), so that all hold together with 95 %.

- *Some setting is beyond a bound.* Each interval tests whether its bound is kept. To say that of
  any although all are kept is an error of the family; Bonferroni keeps it at 5 %. Holm's method
  rejects some hypothesis exactly where the least p value is at most ``5 % / (S·C)``, which is
  Bonferroni's test: for "any beyond" it gains nothing, and it has no intervals to print.
- *All settings are within.* That needs every one of the tests (an intersection-union test), for
  which 5 % each would do without a correction. The same intervals are taken, so that what is
  printed holds together; this exit is a little harder to reach than it would have to be.

A run that stops once it is settled brings intervals of its own, which also hold together over its
looks. Pure standard library.

Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979; Berger,
"Multiparameter Hypothesis Testing and Acceptance Sampling", 1982.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from scorer.common.errors import InputError
from scorer.report.formats.inline import digits, percent, plural
from scorer.report.setting_row import SettingNumbers, SettingRow
from scorer.report.tree import Report
from scorer.spec.thresholds import METRICS, Bounds, Metric
from scorer.stats.intervals import Interval
from scorer.stats.stopping import FEWEST_UNITS, LookEnds, open_metrics, standing

BEYOND, NOT_SETTLED = 4, 5
"""Exit codes of a command whose gate is not passed."""

Tier = Literal["good", "marginal"]
_NAMES: dict[Metric, str] = {"kl_mean": "KL mean", "kl_p99": "KL p99", "flip_rate": "flips"}
_MOST = 8


@dataclass(frozen=True, slots=True)
class Crossing:
    """A criterion of a setting that lies beyond its bound, or not for sure within it.

    Attributes:
        metric: The criterion.
        bound: Its bound, which is inclusive.
        interval: Its interval, widened to the noise floor; None where there is none.
    """

    metric: Metric
    bound: float
    interval: Interval | None

    def __str__(self) -> str:
        scale, unit = (100, " %") if self.metric == "flip_rate" else (1, " nats")
        bound = percent(self.bound) if self.metric == "flip_rate" else digits(self.bound)
        if self.interval is None:
            return f"{_NAMES[self.metric]} without an interval against {bound}"
        low, high = (
            digits(scale * end, significant=3) for end in (self.interval.low, self.interval.high)
        )
        word = ">" if self.interval.low > self.bound else "against"
        if self.interval.high == math.inf > self.interval.low:
            return f"{_NAMES[self.metric]} {low}{unit} or more, no upper end yet, {word} {bound}"
        return f"{_NAMES[self.metric]} {low} to {high}{unit} {word} {bound}"


@dataclass(frozen=True, slots=True)
class Gate:
    """What a gate says.

    Attributes:
        tier: The tier that is to be reached.
        beyond: Settings of which a criterion is beyond its bound for sure, with those criteria.
        open: Settings that are not settled, with the criteria that are open; none where the
            setting has no numbers.
        within: Settings that are within all bounds for sure.
        basis: What the intervals rest on, in words.
    """

    tier: Tier
    beyond: Mapping[str, tuple[Crossing, ...]] = field(default_factory=dict)
    open: Mapping[str, tuple[Crossing, ...]] = field(default_factory=dict)
    within: tuple[str, ...] = ()
    basis: str = ""

    @property
    def exit_code(self) -> int:
        """4 if any setting is beyond a bound, else 5 if any is open, else 0."""
        return BEYOND if self.beyond else NOT_SETTLED if self.open else 0

    def lines(self) -> Iterator[str]:
        """What it says, a line for each of the three kinds of settings that there are.

        Yields:
            Lines with settings in notation between backquotes.
        """
        if self.beyond:
            yield f"beyond a bound of {self.tier}: {_listed(self.beyond)}"
        if self.open:
            yield f"not settled as {self.tier}: {_listed(self.open)}"
        if self.within:
            names = [f"`{name}`" for name in self.within[:_MOST]]
            yield f"settled as {self.tier}: {', '.join(names)}{_more(len(self.within))}"
        if self.basis:
            yield self.basis


def _listed(settings: Mapping[str, tuple[Crossing, ...]]) -> str:
    found = [f"`{name}` ({_why(each)})" for name, each in list(settings.items())[:_MOST]]
    return ", ".join(found) + _more(len(settings))


def _why(crossings: tuple[Crossing, ...]) -> str:
    if not crossings:
        return "no numbers"
    if len(crossings) == len(METRICS) and all(each.interval is None for each in crossings):
        return "no intervals"
    return "; ".join(map(str, crossings))


def _more(settings: int) -> str:
    return f" and {settings - _MOST} more" if settings > _MOST else ""


def gate(report: Report, tier: Tier = "good", only: str | None = None) -> Gate:
    """Judge the settings of a report by the bounds of a tier.

    Args:
        report: The report; see :func:`lacks_intervals`.
        tier: The tier that is to be reached; the bounds are those of the report's verdicts.
        only: The one setting that is judged; None for all. The intervals are the same: they hold
            together over all settings, also where the one is chosen by its numbers.
    """
    bounds: Bounds = getattr(report.verdict_bounds, tier)
    beyond: dict[str, tuple[Crossing, ...]] = {}
    still_open: dict[str, tuple[Crossing, ...]] = {}
    within = []
    for row in report.settings:
        if only not in (None, row.setting):
            continue
        if row.numbers is None:
            still_open[row.setting] = ()
            continue
        ends = _ends(row, row.numbers)
        found = standing(ends, bounds)
        if found == "settled good":
            within.append(row.setting)
        elif found == "settled worse":
            beyond[row.setting] = tuple(
                each for each in _crossings(ends, bounds, METRICS) if _is_beyond(each)
            )
        else:
            open_here = open_metrics(ends, bounds)
            still_open[row.setting] = tuple(_crossings(ends, bounds, open_here))
    return Gate(tier, beyond, still_open, tuple(within), _basis(report))


def check_tier(tier: str) -> None:
    """See that a gate has bounds for a tier.

    Raises:
        InputError: It has none.
    """
    if tier not in get_args(Tier):
        raise InputError(f"`{tier}` is no tier to reach", f"{' or '.join(get_args(Tier))}")


def _is_beyond(crossing: Crossing) -> bool:
    return crossing.interval is not None and crossing.interval.low > crossing.bound


def _crossings(
    ends: Mapping[Metric, LookEnds], bounds: Bounds, metrics: tuple[Metric, ...]
) -> Iterator[Crossing]:
    for metric in metrics:
        yield Crossing(metric, getattr(bounds, metric), ends[metric].ends)


def _ends(row: SettingRow, numbers: SettingNumbers) -> dict[Metric, LookEnds]:
    """The intervals that a gate takes, the one place where they are chosen."""
    floors = row.noise_floors
    values: dict[Metric, float] = {
        "kl_mean": numbers.kl.mean,
        "kl_p99": numbers.kl.p99,
        "flip_rate": numbers.flip_rate,
    }
    own = numbers.intervals if numbers.intervals.simultaneous else numbers.joint_intervals
    found: dict[Metric, LookEnds] = {}
    for metric, value in values.items():
        noise = None
        if floors is not None:
            upper = floors.upper(metric)
            noise = Interval(value - upper, value + upper)
        found[metric] = LookEnds(None if own is None else getattr(own, metric), noise)
    return found


def lacks_intervals(report: Report) -> bool:
    """Whether an earlier version made the report, which has no intervals that hold together."""
    return any(
        row.numbers is not None
        and not row.numbers.intervals.simultaneous
        and row.numbers.joint_intervals is None
        for row in report.settings
    )


def _basis(report: Report) -> str:
    """What the intervals rest on: what was corrected for, the units, what they speak for."""
    each = next((row.numbers for row in report.settings if row.numbers is not None), None)
    if each is None:
        return ""
    ends, joint = each.intervals, each.joint_intervals
    over = f"over {plural(ends.n_units, ends.unit)}"
    if ends.n_units < FEWEST_UNITS:
        return f"fewer than {FEWEST_UNITS} independent units settle nothing: {over}"
    speaks = f"; they speak for {ends.label}" if ends.label else ""
    if ends.simultaneous:
        return f"these are the intervals of a run that stops once it is settled, {over}{speaks}"
    if joint is None:
        return ""
    family = f"{plural(joint.n_settings, 'setting')} × {len(METRICS)} criteria"
    return (
        f"the intervals of {family} hold together with 95 % (Bonferroni: "
        f"{100 * joint.confidence:.4g} % each), {over}{speaks}"
    )
