"""How often a gate by intervals is wrong where it matters: with every value at its bound.

The truth is that of text of this kind: each run draws new documents. A position's KL has lognormal
factors of its document, its chunk and its own, so that mean and percentile are known exactly.
"""

from __future__ import annotations

import math
from collections import Counter
from statistics import NormalDist

import numpy as np
import pytest

from scorer.report.joint_intervals import joint_intervals
from scorer.spec.thresholds import METRICS, Bounds, Metric
from scorer.stats.intervals import units_of
from scorer.stats.stopping import LookEnds, standing
from scorer.stats.summary_values import ChunkSums

DOCUMENTS, PER, POSITIONS = 40, 4, 128
CHUNKS = DOCUMENTS * PER
SETTINGS = 3
RUNS = 600
FLIPS = 0.02


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.2, 0.45])
def test_wrong_exits_with_every_value_at_its_bound_are_rare(spread: float) -> None:
    """Of the values at their bounds none is beyond, and, a hair higher, none within."""
    own = 1.2
    total = math.sqrt(2 * spread**2 + own**2)
    truth: dict[Metric, float] = {
        "kl_mean": math.exp(total**2 / 2),
        "kl_p99": math.exp(total * NormalDist().inv_cdf(0.99)),
        "flip_rate": FLIPS,
    }
    at_bounds = Bounds(**truth)
    random = np.random.RandomState(round(100 * spread))
    units = units_of(range(CHUNKS), {i: i // PER for i in range(CHUNKS)})
    assert units.kind == "document"
    exits: Counter[str] = Counter()
    covered = 0
    for _ in range(RUNS):
        document = np.repeat(random.normal(size=DOCUMENTS), PER)
        factor = np.exp(spread * (document + random.normal(size=CHUNKS)))
        found, holds = [], True
        for _ in range(SETTINGS):
            kl = factor[:, None] * np.exp(own * random.normal(size=(CHUNKS, POSITIONS)))
            rate = np.minimum(1.0, FLIPS * factor / math.exp(spread**2))
            sums = ChunkSums(
                chunks=tuple(range(CHUNKS)),
                sizes=(POSITIONS,) * CHUNKS,
                kl=tuple(kl.sum(axis=1).tolist()),
                flips=tuple(random.binomial(POSITIONS, rate).tolist()),
                nll_difference=(0.0,) * CHUNKS,
                kl_squares=tuple(np.square(kl).sum(axis=1).tolist()),
            )
            joint = joint_intervals(kl.ravel(), sums, units, SETTINGS)
            assert joint is not None
            ends = {metric: getattr(joint, metric) for metric in METRICS}
            assert all(each is not None for each in ends.values())
            found.append(standing({m: LookEnds(ends[m]) for m in METRICS}, at_bounds))
            holds &= all(ends[m].holds(truth[m]) for m in METRICS)
        exits["beyond"] += "settled worse" in found
        exits["within"] += all(each == "settled good" for each in found)
        covered += holds
    slack = 2 * math.sqrt(0.05 * 0.95 / RUNS)
    print(f"\n{spread}: {dict(exits)} wrong of {RUNS}, all intervals hold in {covered / RUNS:.3f}")
    assert exits["beyond"] / RUNS <= 0.05 + slack
    assert exits["within"] / RUNS <= 0.05 + slack
    assert covered / RUNS >= 0.95 - slack
