"""How often intervals hold the truth, and how often equal settings are told apart: simulations.

Text as WikiText-2's: 60 documents of unequal length in 595 chunks. A chunk's KL has a lognormal
factor, of whose variance a share (ICC) belongs to its document. Run with ``-s`` they print figures.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from scorer.stats.bootstrap import quantile_interval
from scorer.stats.intervals import Interval, Units, clustered_mean, units_of
from scorer.stats.pairs import Names, PairedDifference, as_family, paired_difference
from scorer.stats.proportions import proportion
from scorer.stats.summary_values import ChunkSums

LENGTH = 128
"""Positions of a chunk; fewer than usual, for speed."""
SPREAD = 0.6
"""Standard deviation of the logarithm of a chunk's factor."""
WITHIN = 1.5
"""That of a position's."""

Floats = NDArray[np.float64]


@dataclass
class Text:
    """A text drawn anew.

    Attributes:
        documents: Chunk to its document.
        factors: (m,) float64, the factor of each chunk.
    """

    documents: dict[int, int | None]
    factors: Floats

    @property
    def units(self) -> Units:
        return units_of(range(len(self.factors)), self.documents)


def draw(random: np.random.RandomState, chunks: int, icc: float) -> Text:
    """Chunks evenly over a text of 595 in 60 documents."""
    weights = random.lognormal(0, 0.6, 60)
    sizes = np.maximum(1, np.round(weights / weights.sum() * 595)).astype(int)
    owners = np.repeat(np.arange(60), sizes)
    picked = owners[np.arange(chunks) * len(owners) // chunks]
    own, shared = random.normal(size=chunks), random.normal(size=60)[picked]
    factors = np.exp(SPREAD * (math.sqrt(icc) * shared + math.sqrt(1 - icc) * own))
    return Text(dict(enumerate(picked.tolist())), factors)


def kl_of(random: np.random.RandomState, text: Text) -> Floats:
    """(m, LENGTH) float64, KL of every position."""
    shape = len(text.factors), LENGTH
    found: Floats = text.factors[:, None] * np.exp(WITHIN * random.normal(size=shape))
    return found


def holds(ends: Interval | None, truth: float) -> bool:
    assert ends is not None
    return ends.holds(truth)


def truths(rate: float) -> tuple[float, float, float]:
    """Mean and p99 of KL, and the flip rate, of all such text."""
    random = np.random.RandomState(1)
    factors = np.exp(SPREAD * random.normal(size=4_000_000))
    kl = factors * np.exp(WITHIN * random.normal(size=len(factors)))
    mean = math.exp((SPREAD**2 + WITHIN**2) / 2)
    return mean, float(np.quantile(kl, 0.99)), float(np.minimum(1, rate * factors).mean())


@pytest.mark.slow
@pytest.mark.parametrize("chunks", [8, 32, 595])
@pytest.mark.parametrize("icc", [0.05, 0.2, 0.5])
def test_intervals_hold_the_truth(chunks: int, icc: float) -> None:
    """KL is skewed: with few units the t interval of its mean is short of 95 %, as ever."""
    random = np.random.RandomState(chunks)
    rates = (0.0002, 0.002, 0.02)
    known = {rate: truths(rate) for rate in rates}
    mean, p99, _ = known[rates[0]]
    draws = 400 if chunks < 595 else 200
    hits = dict.fromkeys(("mean", "p99", *rates), 0)
    for _ in range(draws):
        text = draw(random, chunks, icc)
        kl, units = kl_of(random, text), text.units
        sizes, sums = [LENGTH] * chunks, kl.sum(axis=1).tolist()
        found = clustered_mean(sums, sizes, units)
        assert found is not None
        hits["mean"] += found.interval(lowest=0.0).holds(mean)
        owner = np.repeat(np.array(units.of_chunk), LENGTH)
        hits["p99"] += holds(quantile_interval(kl.ravel(), owner, units.count), p99)
        for rate in rates:
            chance = np.minimum(1, rate * text.factors)[:, None]
            counts = (random.random_sample(kl.shape) < chance).sum(axis=1).tolist()
            counted = clustered_mean(counts, sizes, units)
            share = proportion(counted, kl.size, found, float(np.square(kl).sum()))
            assert share is not None
            hits[rate] += share.interval().holds(known[rate][2])
    cover = {name: hit / draws for name, hit in hits.items()}
    print(f"{chunks} chunks, ICC {icc}: {cover}")
    assert all(cover[rate] >= 0.89 for rate in rates)
    assert cover["mean"] >= (0.90 if chunks == 595 else 0.82)
    assert cover["p99"] >= (0.87 if chunks == 595 else 0.70)


def table_of_equals(
    random: np.random.RandomState, chunks: int, icc: float
) -> dict[Names, PairedDifference]:
    """Eight settings whose KL differs by chance alone, by document too; every pair."""
    text = draw(random, chunks, icc)
    count = 1 + max(document for document in text.documents.values() if document is not None)
    owners = np.array(list(text.documents.values()))
    settings = []
    for _ in range(8):
        shared = random.normal(size=count)[owners]
        own = random.normal(size=chunks)
        factors = np.exp(0.3 * (math.sqrt(icc) * shared + math.sqrt(1 - icc) * own))
        kl = text.factors * factors * np.exp(random.normal(size=chunks) / math.sqrt(LENGTH))
        settings.append(
            ChunkSums(
                chunks=tuple(range(chunks)),
                sizes=(LENGTH,) * chunks,
                kl=tuple((LENGTH * kl).tolist()),
                flips=(0,) * chunks,
                nll_difference=(0.0,) * chunks,
            )
        )
    return {
        (str(a), str(b)): paired_difference(settings[a], settings[b], text.documents)
        for a, b in itertools.combinations(range(8), 2)
    }


@pytest.mark.slow
@pytest.mark.parametrize("chunks", [8, 32, 120])
@pytest.mark.parametrize("icc", [0.05, 0.5])
def test_eight_equal_settings_are_told_apart_in_one_table_of_twenty_at_most(
    chunks: int, icc: float
) -> None:
    random = np.random.RandomState(chunks)
    draws = 400
    single = family = missed = 0
    for _ in range(draws):
        pairs = table_of_equals(random, chunks, icc)
        single += any(pair.told_apart for pair in pairs.values())
        corrected = as_family(pairs).values()
        family += any(pair.told_apart for pair in corrected)
        missed += any(pair.interval and not pair.interval.holds(0.0) for pair in corrected)
    print(f"{chunks} chunks, ICC {icc}: one by one {single / draws}, as a family {family / draws}")
    assert single / draws > 0.3, "pairs one by one do give false claims"
    # 5 % and two standard errors of a share of 400.
    assert family / draws <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / draws)
    assert missed <= family
