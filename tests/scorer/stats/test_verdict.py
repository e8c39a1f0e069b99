"""Thresholds, tiers and open bounds."""

from __future__ import annotations

import math
import subprocess
import sys

import oracle_summary as oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.spec.thresholds import KV, METRICS, Metric
from scorer.stats.intervals import ClusteredMean, Interval
from scorer.stats.proportions import Proportion
from scorer.stats.settling import Outlook
from scorer.stats.student_t import t_quantile
from scorer.stats.verdict import (
    Estimate,
    Judgement,
    MissingInterval,
    judge,
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


@given(kl, kl, flips)
def test_verdict_equals_oracle(kl_mean: float, kl_p99: float, flip_rate: float) -> None:
    assert verdict_of(kl_mean, kl_p99, flip_rate, KV) == oracle.verdict(kl_mean, kl_p99, flip_rate)


@given(kl, kl, flips, kl, kl, flips)
def test_more_drift_never_gives_a_better_verdict(
    a: float, b: float, c: float, more_a: float, more_b: float, more_c: float
) -> None:
    better, worse = verdict_of(a, b, c, KV), verdict_of(a + more_a, b + more_b, c + more_c, KV)
    assert tier_rank(worse) <= tier_rank(better)


def values(kl_mean: float, kl_p99: float, flip_rate: float) -> dict[Metric, float]:
    return {"kl_mean": kl_mean, "kl_p99": kl_p99, "flip_rate": flip_rate}


Ends = tuple[float, float]


def judged(
    point: dict[Metric, float],
    ends: dict[Metric, Ends | None],
    chunks: int = 12,
    positions: int = 6000,
    noise: dict[Metric, float] | None = None,
) -> Judgement:
    """The verdict on values with these intervals; what they are made of is left out."""
    estimates = {
        metric: Estimate(
            point[metric],
            None if (pair := ends.get(metric)) is None else Interval(*pair),
            noise=(noise or {}).get(metric, 0.0),
        )
        for metric in METRICS
    }
    return judge(estimates, positions, Outlook(chunks))


SURE: dict[Metric, Ends | None] = {
    "kl_mean": (0.001, 0.002),
    "kl_p99": (0.01, 0.05),
    "flip_rate": (0.001, 0.005),
}
GOOD = values(0.0015, 0.03, 0.004)


def test_a_settled_verdict_has_nothing_open() -> None:
    found = judged(GOOD, SURE)
    assert found == Judgement("good", (), (), ())
    assert not found.is_open


def test_an_interval_across_a_bound_of_good_is_open() -> None:
    found = judged(values(0.009, 0.03, 0.003), SURE | {"kl_mean": (0.006, 0.012)}, 10)
    (bound,) = found.open_bounds
    assert (bound.metric, bound.tier, bound.threshold) == ("kl_mean", "good", 0.01)
    # half-width 0.003, distance 0.001: 10 · 9 − 10 = 80
    assert bound.more_chunks == found.more_chunks == 80
    assert found.is_open


def test_a_crossed_bound_that_cannot_change_the_verdict_is_not_open() -> None:
    # Flips are surely marginal, so KL mean across the bound of good decides nothing.
    ends = SURE | {"kl_mean": (0.006, 0.012), "flip_rate": (0.02, 0.04)}
    assert not judged(values(0.009, 0.03, 0.03), ends).is_open


def test_every_bound_that_holds_the_verdict_down_is_named() -> None:
    ends = SURE | {"kl_mean": (0.008, 0.014), "flip_rate": (0.005, 0.019)}
    found = judged(values(0.011, 0.03, 0.012), ends).open_bounds
    assert [(b.metric, b.tier) for b in found] == [("kl_mean", "good"), ("flip_rate", "good")]


def test_an_interval_across_two_tiers_opens_both_bounds() -> None:
    found = judged(values(0.009, 0.03, 0.003), SURE | {"kl_mean": (0.001, 0.2)}).open_bounds
    assert [(b.metric, b.tier) for b in found] == [("kl_mean", "good"), ("kl_mean", "marginal")]


@pytest.mark.parametrize("verdict", ["good", "marginal", "bad"])
def test_one_chunk_leaves_every_verdict_open(verdict: str) -> None:
    point = {"good": GOOD, "marginal": values(0.05, 0.5, 0.02), "bad": values(2.0, 9.0, 0.5)}
    found = judged(point[verdict], {}, chunks=1)
    assert found.verdict == verdict
    assert [(m.metric, m.why) for m in found.without_interval] == [
        (metric, "one chunk") for metric in METRICS
    ]
    assert found.is_open and found.more_chunks is None


def test_few_positions_leave_p99_and_the_verdict_open() -> None:
    assert judged(GOOD, SURE, positions=200) == judged(GOOD, SURE)
    found = judged(GOOD, SURE, positions=199)
    assert found.without_interval == (MissingInterval("kl_p99", "few positions"),)
    assert found.is_open and not found.open_bounds


@pytest.mark.parametrize("ends", [None, (0.0015, 0.0015)])
def test_an_interval_without_width_leaves_the_verdict_open(ends: Ends | None) -> None:
    found = judged(GOOD, SURE | {"kl_mean": ends})
    assert found.without_interval == (MissingInterval("kl_mean", "no width"),)
    assert found.is_open


def test_an_infinite_kl_is_no_matter_of_chance() -> None:
    endless = values(math.inf, math.inf, 0.5)
    ends: dict[Metric, Ends | None] = {"kl_mean": None, "kl_p99": None, "flip_rate": (0.4, 0.6)}
    assert judged(endless, ends) == Judgement("bad", judged(endless, ends).held_by, (), ())
    assert judged(endless, {}, chunks=1).is_open


def test_what_rounding_could_move_across_a_bound_is_open() -> None:
    point = values(0.0095, 0.03, 0.003)
    ends = SURE | {"kl_mean": (0.0094, 0.0096)}
    assert not judged(point, ends, noise={"kl_mean": 0.0004}).is_open
    found = judged(point, ends, noise={"kl_mean": 0.0006})
    (bound,) = found.open_bounds
    assert (bound.metric, bound.tier, bound.below_noise_floor) == ("kl_mean", "good", True)
    assert bound.more_chunks is found.more_chunks is None
    assert bound.interval == Interval(0.0094, 0.0096)


@given(kl, kl, flips, st.lists(st.floats(0, 0.3), min_size=6, max_size=6))
def test_open_exactly_where_moving_within_intervals_changes_the_verdict(
    kl_mean: float, kl_p99: float, flip_rate: float, widths: list[float]
) -> None:
    point = values(kl_mean, kl_p99, flip_rate)
    ends: dict[Metric, Ends | None] = {
        metric: (point[metric] - widths[2 * i], point[metric] + widths[2 * i + 1])
        for i, metric in enumerate(METRICS)
    }
    lowest = {m: pair[0] for m, pair in ends.items() if pair}
    highest = {m: pair[1] for m, pair in ends.items() if pair}
    reachable = {
        verdict_of(**lowest, thresholds=KV),
        verdict_of(**highest, thresholds=KV),
        verdict_of(**point, thresholds=KV),
    }
    found = judged(point, ends)
    assert bool(found.open_bounds) == (len(reachable) > 1)
    for bound in found.open_bounds:
        assert bound.interval.low <= bound.threshold < bound.interval.high
        assert bound.more_chunks is None or bound.more_chunks >= 1


def test_chunks_that_settle_follow_the_interval_of_each_metric() -> None:
    """Two chunks: t falls from 12.7 to 1.96, and the share has the error it has at the bound."""
    kl = ClusteredMean(0.009, 0.001, 2)
    flips = Proportion(0.02, 500.0, 2)
    estimates = {
        "kl_mean": Estimate(kl.mean, kl.interval(), kl),
        "kl_p99": Estimate(0.03, Interval(0.02, 0.05)),
        "flip_rate": Estimate(flips.share, flips.interval(), flips),
    }
    found = judge(estimates, 1022, Outlook(2))  # type: ignore[arg-type]
    more = {(b.metric, b.tier): b.more_chunks for b in found.open_bounds}
    # Smallest m with t(m − 1)² · error² · 2 / m ≤ distance².
    errors = {
        ("kl_mean", "good"): (0.001, 0.001),
        ("flip_rate", "good"): (math.sqrt(0.01 * 0.99 / 500), 0.01),
        ("flip_rate", "marginal"): (math.sqrt(0.05 * 0.95 / 500), 0.03),
    }
    for key, (error, distance) in errors.items():
        if key not in more:
            continue
        widths = ((m, t_quantile(0.975, m - 1) * error * (2 / m) ** 0.5) for m in range(3, 999))
        assert more[key] == next(m for m, width in widths if width <= distance) - 2
    assert len(more) >= 2


def test_shown_verdict() -> None:
    assert shown_verdict("good", True) == "good?"
    assert shown_verdict("bad", False) == "bad"


def test_live_helpers_import_no_numpy() -> None:
    code = (
        "import sys, scorer.stats.verdict, scorer.stats.noise_floor, scorer.common.inert_text\n"
        "import scorer.report.formats.markdown, scorer.runs.facts\n"
        "import scorer.report.setting_report, scorer.report.commands\n"
        "import scorer.report.warnings\n"
        "bad = {'numpy', 'mlx', 'pyarrow', 'textual'} & set(sys.modules)\n"
        "sys.exit(f'imported {bad}' if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
