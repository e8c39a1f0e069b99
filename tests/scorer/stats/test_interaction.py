"""The interaction of weights and KV cache: against plain sums, and how often it is right."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
from numpy.typing import NDArray

from scorer.stats.interaction import interaction
from scorer.stats.summary_values import ChunkSums

LENGTH = 128
T_975 = {4: 2.7764451051977987, 6: 2.4469118511449692}
"""Quantiles of Student's t by degrees of freedom, from tables."""

Floats = NDArray[np.float64]


def sums(chunks: list[int], sizes: list[int], means: Floats) -> ChunkSums:
    """Chunks whose KL means are given."""
    kl = tuple((means * np.array(sizes)).tolist())
    zero = (0.0,) * len(chunks)
    return ChunkSums(tuple(chunks), tuple(sizes), kl, (0,) * len(chunks), zero)


def by_hand(
    parts: list[Floats], sizes: list[int], owners: list[int]
) -> tuple[float, tuple[float, float]]:
    """Mean and interval of a ratio of sums, clustered (CR1), in plain loops."""
    joint, first, second = parts
    total = math.fsum(sizes)
    differences = [a - b - c for a, b, c in zip(joint, first, second, strict=True)]
    mean = math.fsum(d * n for d, n in zip(differences, sizes, strict=True)) / total
    residuals: dict[int, list[float]] = defaultdict(list)
    for d, n, owner in zip(differences, sizes, owners, strict=True):
        residuals[owner].append(n * (d - mean))
    count = len(residuals)
    square = math.fsum(math.fsum(r) ** 2 for r in residuals.values())
    half = T_975[count - 1] * math.sqrt(count / (count - 1) * square) / total
    return mean, (mean - half, mean + half)


@pytest.mark.parametrize("documents", [None, [0, 0, 1, 2, 2, 2, 3, 4, 4]])
def test_it_is_the_mean_of_the_differences_clustered(documents: list[int] | None) -> None:
    random = np.random.default_rng(5)
    sizes = [LENGTH, 64, LENGTH, LENGTH, 100, LENGTH, LENGTH, 7, LENGTH]
    chunks = [3, 9, 4, 0, 11, 7, 1, 30, 5]
    if documents is None:
        sizes, chunks = sizes[:7], chunks[:7]
    parts = [scale * random.lognormal(0, 0.7, len(chunks)) for scale in (0.5, 0.3, 0.1)]
    known = {} if documents is None else dict(zip(chunks, documents, strict=True))
    found = interaction(*(sums(chunks, sizes, part) for part in parts), known)  # type: ignore[arg-type]
    owners = documents or list(range(len(chunks)))
    mean, (low, high) = by_hand(parts, sizes, owners)
    assert found is not None and found.interval is not None and found.mean is not None
    assert found.mean == pytest.approx(mean, rel=1e-12)
    assert found.interval.low == pytest.approx(low, rel=1e-7)
    assert found.interval.high == pytest.approx(high, rel=1e-7)
    joint, first, second = (float(np.average(part, weights=sizes)) for part in parts)
    assert found.joint == pytest.approx(joint, rel=1e-12)
    assert found.added == pytest.approx(first + second, rel=1e-12)
    assert found.mean == pytest.approx(found.joint - found.added, rel=1e-9)
    assert found.unit == ("chunk" if documents is None else "document")
    assert bool(found.label) is (documents is None)
    assert found.differs is (low > 0 or high < 0)


def test_only_common_chunks_count_in_any_order() -> None:
    chunks = [2, 0, 5, 1, 8]
    parts = [np.arange(1.0, 6.0) * scale for scale in (0.9, 0.3, 0.2)]
    whole = [sums(chunks, [LENGTH] * 5, part) for part in parts]
    # Another has more chunks, in another order.
    order = [4, 2, 0, 3, 1]
    more = sums(
        [*(chunks[i] for i in order), 77], [LENGTH] * 6, np.array([*parts[1][order], 1000.0])
    )
    expected = interaction(whole[0], whole[1], whole[2], {})
    found = interaction(whole[0], more, whole[2], {})
    assert found is not None and expected is not None and found.mean is not None
    assert found.mean == pytest.approx(expected.mean, rel=1e-12) and found.n_chunks == 5
    assert found.mean == pytest.approx(0.4 * 3.0)


def test_what_cannot_be_compared_has_no_interaction() -> None:
    one = sums([0, 1], [LENGTH, LENGTH], np.array([1.0, 2.0]))
    shorter = sums([0, 1], [LENGTH, 64], np.array([1.0, 2.0]))
    assert interaction(one, shorter, one, {}) is None
    elsewhere = sums([5], [LENGTH], np.array([1.0]))
    nothing = interaction(one, elsewhere, one, {})
    assert nothing is not None and nothing.mean is None and nothing.n_chunks == 0
    infinite = sums([0, 1], [LENGTH, LENGTH], np.array([1.0, math.inf]))
    for which in itertools.permutations((infinite, one, one)):
        found = interaction(*which, {})
        assert found is not None and found.mean is None and found.differs is None
    single = sums([0], [LENGTH], np.array([1.0]))
    alone = interaction(single, single, single, {})
    assert alone is not None and alone.mean == pytest.approx(-1.0) and alone.differs is None
    # No width says nothing about certainty.
    equal = sums([0, 1], [LENGTH, LENGTH], np.array([1.0, 1.0]))
    same = interaction(equal, equal, equal, {})
    assert same is not None and same.mean == pytest.approx(-1.0) and same.interval is None


def drawn(
    random: np.random.RandomState, chunks: int, icc: float, documents: int, truth: float
) -> tuple[list[ChunkSums], dict[int, int | None]]:
    """A pair and its parts whose interaction is ``truth`` nats over all such text.

    All three share a chunk's difficulty; weights, cache and interaction have factors of their own.
    """
    owners = np.arange(chunks) * documents // chunks

    def factor(spread: float) -> Floats:
        """(chunks,) lognormal, of mean 1, a share of its variance that of the document."""
        own, shared = random.normal(size=chunks), random.normal(size=documents)[owners]
        log = spread * (math.sqrt(icc) * shared + math.sqrt(1 - icc) * own)
        found: Floats = np.exp(log - spread**2 / 2)
        return found

    difficulty = factor(0.6)
    weights, cache = 0.05 * difficulty * factor(0.3), 0.02 * difficulty * factor(0.3)
    # The factors of the extra part are independent, so that its mean is the truth.
    extra = truth * difficulty * factor(0.3)
    noise = 0.02 * random.normal(size=(3, chunks)) / math.sqrt(LENGTH)
    parts = [weights + cache + extra + noise[0], weights + noise[1], cache + noise[2]]
    chosen = list(range(chunks))
    found = [sums(chosen, [LENGTH] * chunks, part) for part in parts]
    known: dict[int, int | None] = dict(enumerate(owners.tolist())) if icc else {}
    return found, known


@pytest.mark.slow
@pytest.mark.parametrize("truth", [0.0, 0.01, -0.008])
@pytest.mark.parametrize(
    ("chunks", "icc", "documents"),
    [(32, 0.0, 60), (128, 0.0, 60), (120, 0.05, 30), (240, 0.2, 60), (595, 0.5, 60)],
)
def test_its_interval_holds_the_known_interaction(
    chunks: int, icc: float, documents: int, truth: float
) -> None:
    """KL is skewed: of 32 chunks the t interval is a little short of 95 %, as ever."""
    random = np.random.RandomState(chunks)
    draws = 2000
    hits = told = 0
    for _ in range(draws):
        (joint, weights, cache), known = drawn(random, chunks, icc, documents, truth)
        found = interaction(joint, weights, cache, known)
        assert found is not None and found.interval is not None
        assert found.unit == ("document" if icc else "chunk")
        hits += found.interval.holds(truth)
        told += bool(found.differs)
    cover = hits / draws
    print(f"{chunks} chunks, ICC {icc}, truth {truth}: covers {cover}, tells {told / draws}")
    if icc:
        assert cover >= 0.90
    else:
        assert (0.93 if chunks > 32 else 0.92) <= cover <= 0.97
    if truth:
        assert told / draws > 0.5
    else:
        assert told / draws <= 0.1
