"""The interaction of weights and KV cache: its arithmetic, and how often its interval is right."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from scorer.stats.interaction import Interaction, interaction
from scorer.stats.student_t import t_quantile
from scorer.stats.summary_values import ChunkSums

LENGTH = 128
TRUTH = 0.02
"""Nats that a pair adds beyond the sum of its parts, on average over text of the kind."""

Floats = NDArray[np.float64]


def sums_of(kl: Floats, length: int = LENGTH) -> ChunkSums:
    """Sums of chunks, from the mean KL (m,) of each."""
    count = len(kl)
    return ChunkSums(
        chunks=tuple(range(count)),
        sizes=(length,) * count,
        kl=tuple((kl * length).tolist()),
        flips=(0,) * count,
        nll_difference=(0.0,) * count,
    )


def drawn(
    random: np.random.RandomState, owners: NDArray[np.int64], share: float, known: bool
) -> Interaction:
    """A pair whose interaction is TRUTH on average; a share of its variance is the document's."""
    shared, own = random.normal(size=owners.max() + 1)[owners], random.normal(size=len(owners))
    text = np.exp(0.6 * (math.sqrt(share) * shared + math.sqrt(1 - share) * own))
    weights, cache = (
        level * text * np.exp(0.3 * random.normal(size=len(owners))) for level in (0.5, 0.1)
    )
    shared, own = random.normal(size=owners.max() + 1)[owners], random.normal(size=len(owners))
    beyond = TRUTH + 0.05 * (math.sqrt(share) * shared + math.sqrt(1 - share) * own)
    documents = dict(enumerate(owners.tolist())) if known else {}
    found = interaction(
        sums_of(weights + cache + beyond), sums_of(weights), sums_of(cache), documents
    )
    assert found is not None
    return found


def coverage(chunks: int, share: float, draws: int) -> float:
    """How often the interval holds TRUTH; by document where documents have a share."""
    random = np.random.RandomState(chunks)
    hits = 0
    for _ in range(draws):
        sizes = random.lognormal(0, 0.6, 60)
        owners = np.sort(random.choice(60, chunks, p=sizes / sizes.sum()))
        _, owners = np.unique(owners, return_inverse=True)
        found = drawn(random, owners, share, known=share > 0)
        assert found.interval is not None
        hits += found.interval.holds(TRUTH)
    return hits / draws


def test_the_interval_holds_a_known_interaction() -> None:
    # Three standard deviations of the count below 93 %: the slow test has the draws to be strict.
    assert coverage(30, 0.0, 200) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("chunks", [8, 30, 120])
def test_on_independent_chunks_it_does_as_often_as_it_says(chunks: int) -> None:
    found = coverage(chunks, 0.0, 4000)
    print(f"{chunks} chunks: {found}")
    assert 0.93 <= found <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("chunks", [120, 595])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_under_article_effects_it_does_by_document(chunks: int, share: float) -> None:
    found = coverage(chunks, share, 2000)
    print(f"{chunks} chunks, share {share}: {found}")
    assert found >= 0.9


def test_against_a_float64_oracle() -> None:
    random = np.random.RandomState(3)
    joint, weights, cache = random.lognormal(-2, 1, (3, 12))
    found = interaction(sums_of(joint), sums_of(weights), sums_of(cache), {})
    assert found is not None and found.interval is not None and found.unit == "chunk"
    each = joint - weights - cache
    half = t_quantile(0.975, 11) * each.std(ddof=1) / math.sqrt(12)
    assert found.mean == pytest.approx(each.mean(), rel=1e-12)
    assert found.joint == pytest.approx(joint.mean()) and found.added == pytest.approx(
        weights.mean() + cache.mean()
    )
    assert found.interval.low == pytest.approx(each.mean() - half, rel=1e-6)
    assert found.interval.high == pytest.approx(each.mean() + half, rel=1e-6)


def test_other_positions_are_not_compared() -> None:
    kl = np.full(4, 0.1)
    assert interaction(sums_of(kl), sums_of(kl), sums_of(kl, LENGTH // 2), {}) is None
