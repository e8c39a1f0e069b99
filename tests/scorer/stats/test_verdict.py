"""Thresholds, tiers and open bounds."""

from __future__ import annotations

import math
import subprocess
import sys

import oracle_summary as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.spec.thresholds import KV, METRICS, Metric
from scorer.stats.intervals import Interval
from scorer.stats.verdict import (
    chunks_to_settle,
    open_bounds,
    shown_verdict,
    tier_rank,
    verdict_of,
    weights_verdict,
)

UP, DOWN = math.inf, -math.inf


@pytest.mark.parametrize(
    ("kl_mean", "kl_p99", "flip_rate", "expected"),
    [
        (0.01, 0.10, 0.01, "good"),
        (math.nextafter(0.01, UP), 0.10, 0.01, "marginal"),
        (0.01, math.nextafter(0.10, UP), 0.01, "marginal"),
        (0.01, 0.10, math.nextafter(0.01, UP), "marginal"),
        (0.10, 1.00, 0.05, "marginal"),
        (math.nextafter(0.10, UP), 1.00, 0.05, "bad"),
        (0.10, math.nextafter(1.00, UP), 0.05, "bad"),
        (0.10, 1.00, math.nextafter(0.05, UP), "bad"),
        (0.0, 0.0, 0.0, "good"),
        (-1e-9, 0.0, 0.0, "good"),
        (math.inf, 0.0, 0.0, "bad"),
        (math.nan, 0.0, 0.0, "bad"),
        (0.0, math.nan, 0.0, "bad"),
        (0.0, 0.0, math.nan, "bad"),
    ],
)
def test_kv_thresholds(kl_mean: float, kl_p99: float, flip_rate: float, expected: str) -> None:
    assert verdict_of(kl_mean, kl_p99, flip_rate, KV) == expected


@pytest.mark.parametrize(
    ("kl_mean", "kl_p99", "flip_rate", "expected"),
    [
        (0.01, 0.10, 0.05, "good"),
        (0.01, 0.10, math.nextafter(0.05, UP), "marginal"),
        (0.20, 1.50, 0.25, "marginal"),
        (math.nextafter(0.20, UP), 1.50, 0.25, "bad"),
        (0.20, math.nextafter(1.50, UP), 0.25, "bad"),
        (0.20, 1.50, math.nextafter(0.25, UP), "bad"),
    ],
)
def test_weight_thresholds(kl_mean: float, kl_p99: float, flip_rate: float, expected: str) -> None:
    assert weights_verdict(kl_mean, kl_p99, flip_rate) == expected


kl = st.floats(0, 2) | st.sampled_from([0.01, 0.1, 1.0])
flips = st.floats(0, 0.2) | st.sampled_from([0.01, 0.05])


@settings(max_examples=200, deadline=None)
@given(kl, kl, flips)
def test_verdict_equals_oracle(kl_mean: float, kl_p99: float, flip_rate: float) -> None:
    assert verdict_of(kl_mean, kl_p99, flip_rate, KV) == oracle.verdict(kl_mean, kl_p99, flip_rate)


@settings(max_examples=200, deadline=None)
@given(kl, kl, flips, kl, kl, flips)
def test_more_drift_never_gives_a_better_verdict(
    a: float, b: float, c: float, more_a: float, more_b: float, more_c: float
) -> None:
    better, worse = verdict_of(a, b, c, KV), verdict_of(a + more_a, b + more_b, c + more_c, KV)
    assert tier_rank(worse) <= tier_rank(better)


def values(kl_mean: float, kl_p99: float, flip_rate: float) -> dict[Metric, float]:
    return {"kl_mean": kl_mean, "kl_p99": kl_p99, "flip_rate": flip_rate}


def test_a_settled_verdict_has_no_open_bound() -> None:
    intervals = {
        "kl_mean": Interval(0.001, 0.002),
        "kl_p99": Interval(0.01, 0.05),
        "flip_rate": None,
    }
    assert open_bounds(values(0.0015, 0.03, 0.004), intervals, 8) == []  # type: ignore[arg-type]


def test_an_interval_across_a_bound_of_good_is_open() -> None:
    intervals: dict[Metric, Interval | None] = {
        "kl_mean": Interval(0.006, 0.012),
        "kl_p99": Interval(0.01, 0.05),
        "flip_rate": Interval(0.001, 0.005),
    }
    (bound,) = open_bounds(values(0.009, 0.03, 0.003), intervals, 10)
    assert (bound.metric, bound.tier, bound.threshold) == ("kl_mean", "good", 0.01)
    # half-width 0.003, distance 0.001: 10 · 9 − 10 = 80
    assert bound.more_chunks == 80


def test_a_crossed_bound_that_cannot_change_the_verdict_is_not_open() -> None:
    # Flips are surely marginal, so KL mean across the bound of good decides nothing.
    intervals: dict[Metric, Interval | None] = {
        "kl_mean": Interval(0.006, 0.012),
        "kl_p99": Interval(0.01, 0.05),
        "flip_rate": Interval(0.02, 0.04),
    }
    assert open_bounds(values(0.009, 0.03, 0.03), intervals, 10) == []


def test_every_bound_that_holds_the_verdict_down_is_named() -> None:
    intervals: dict[Metric, Interval | None] = {
        "kl_mean": Interval(0.008, 0.014),
        "kl_p99": Interval(0.01, 0.05),
        "flip_rate": Interval(0.005, 0.019),
    }
    found = open_bounds(values(0.011, 0.03, 0.012), intervals, 10)
    assert [(b.metric, b.tier) for b in found] == [("kl_mean", "good"), ("flip_rate", "good")]


def test_an_interval_across_two_tiers_opens_both_bounds() -> None:
    intervals: dict[Metric, Interval | None] = {
        "kl_mean": Interval(0.001, 0.2),
        "kl_p99": None,
        "flip_rate": None,
    }
    found = open_bounds(values(0.009, 0.03, 0.0), intervals, 3)
    assert [(b.metric, b.tier) for b in found] == [("kl_mean", "good"), ("kl_mean", "marginal")]


@settings(max_examples=200, deadline=None)
@given(kl, kl, flips, st.lists(st.floats(0, 0.3), min_size=6, max_size=6))
def test_open_exactly_where_moving_within_intervals_changes_the_verdict(
    kl_mean: float, kl_p99: float, flip_rate: float, widths: list[float]
) -> None:
    point = values(kl_mean, kl_p99, flip_rate)
    intervals: dict[Metric, Interval | None] = {
        metric: Interval(point[metric] - widths[2 * i], point[metric] + widths[2 * i + 1])
        for i, metric in enumerate(METRICS)
    }
    lowest = {m: i.low for m, i in intervals.items() if i}
    highest = {m: i.high for m, i in intervals.items() if i}
    reachable = {
        verdict_of(**lowest, thresholds=KV),
        verdict_of(**highest, thresholds=KV),
        verdict_of(**point, thresholds=KV),
    }
    found = open_bounds(point, intervals, 12)
    assert bool(found) == (len(reachable) > 1)
    for bound in found:
        interval = intervals[bound.metric]
        assert interval is not None
        assert interval.low <= bound.threshold < interval.high
        assert bound.more_chunks is None or bound.more_chunks >= 1


def test_chunks_to_settle() -> None:
    assert chunks_to_settle(0.5, Interval(0.0, 1.0), 1.0, 8) == 1
    assert chunks_to_settle(0.5, Interval(0.3, 0.9), 0.7, 8) == 24
    # the side of the threshold counts: below it the half-width is 0.2
    assert chunks_to_settle(0.5, Interval(0.3, 0.9), 0.4, 8) == 24
    assert chunks_to_settle(0.5, Interval(0.3, 0.9), 0.5, 8) is None
    assert chunks_to_settle(0.5, Interval(0.3, math.inf), 0.6, 8) is None
    assert chunks_to_settle(0.5, Interval(0.3, 0.9), 0.5 + 1e-15, 8) is not None


def test_shown_verdict() -> None:
    assert shown_verdict("good", True) == "good?"
    assert shown_verdict("bad", False) == "bad"


def test_live_helpers_import_no_numpy() -> None:
    code = (
        "import sys, scorer.stats.verdict, scorer.stats.intervals, scorer.common.inert_text\n"
        "import scorer.report.formats.markdown, scorer.runs.facts\n"
        "import scorer.report.setting_report, scorer.report.commands\n"
        "import scorer.report.warnings\n"
        "bad = {'numpy', 'mlx', 'pyarrow', 'textual'} & set(sys.modules)\n"
        "sys.exit(f'imported {bad}' if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
