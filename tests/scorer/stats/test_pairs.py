"""Paired differences, worked out by hand, and what they say about two settings."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.stats.pairs import paired_difference
from scorer.stats.summary import ChunkSums

T_3 = 3.182446305284263  # t(0.975, 3)
T_4 = 2.7764451051977987  # t(0.975, 4)


def sums(kl: dict[int, float], size: int = 1) -> ChunkSums:
    n = len(kl)
    return ChunkSums(
        chunks=tuple(sorted(kl)),
        sizes=(size,) * n,
        kl=tuple(kl[chunk] for chunk in sorted(kl)),
        flips=(0,) * n,
        nll_difference=(0.0,) * n,
    )


def test_pairing_sees_what_two_intervals_do_not() -> None:
    """Chunks of 10 positions, KL means 1, 2, 3, 4 and each 0.1 more, the last 0.3 more.

    Differences of the means −0.1, −0.1, −0.1, −0.3: mean −0.15, sum of squares about it
    3 · 0.05² + 0.15² = 0.03, sd √(0.03/3) = 0.1, half-width t(0.975, 3) · 0.1/√4 = 0.159: told
    apart? No: −0.15 ± 0.159 holds 0. With the last difference −0.1 all are equal: half-width 0.
    """
    a = sums({0: 10.0, 1: 20.0, 2: 30.0, 3: 40.0}, size=10)
    b = sums({0: 11.0, 1: 21.0, 2: 31.0, 3: 43.0}, size=10)
    found = paired_difference(a, b, {})
    assert found.mean == pytest.approx(-0.15)
    assert found.interval is not None
    assert found.interval.low == pytest.approx(-0.15 - T_3 * 0.05)
    assert found.interval.high == pytest.approx(-0.15 + T_3 * 0.05)
    assert found.told_apart is False
    assert (found.unit, found.n_chunks) == ("chunk", 4)

    equal = paired_difference(a, sums({0: 11.0, 1: 21.0, 2: 31.0, 3: 41.0}, size=10), {})
    assert equal.mean == pytest.approx(-0.1)
    assert equal.told_apart is True


def test_documents_are_the_unit_from_five_on() -> None:
    """Ten chunks of one position in five documents of two; differences d, d in document d.

    Sum over documents of (2d − 2·2)² = 4 · (4 + 1 + 0 + 1 + 4) = 40; CR1: 5/4 · 40 / 10² = 0.5.
    """
    a = sums({i: float(i // 2) for i in range(10)})
    b = sums(dict.fromkeys(range(10), 0.0))
    found = paired_difference(a, b, {i: i // 2 for i in range(10)})
    assert found.unit == "document"
    assert found.mean == 2.0
    assert found.interval is not None
    assert found.interval.high - 2.0 == pytest.approx(T_4 * math.sqrt(0.5))
    four = paired_difference(a, b, {i: min(i // 2, 3) for i in range(10)})
    assert four.unit == "chunk"


def test_only_chunks_of_both_count() -> None:
    found = paired_difference(sums({0: 1.0, 1: 2.0, 5: 9.0}), sums({1: 1.0, 5: 7.0, 6: 50.0}), {})
    assert found.n_chunks == 2
    assert found.mean == pytest.approx(1.5)


def test_nothing_to_say() -> None:
    one = paired_difference(sums({3: 1.0}), sums({3: 0.5}), {})
    assert (one.mean, one.interval, one.told_apart) == (0.5, None, None)
    none = paired_difference(sums({3: 1.0}), sums({4: 0.5}), {})
    assert (none.mean, none.interval, none.n_chunks) == (None, None, 0)
    endless = paired_difference(sums({0: math.inf, 1: 1.0}), sums({0: 1.0, 1: 1.0}), {})
    assert (endless.mean, endless.told_apart) == (None, None)
    both = paired_difference(sums({0: math.inf, 1: 1.0}), sums({0: math.inf, 1: 1.0}), {})
    assert (both.mean, both.told_apart) == (None, None)


VALUES = st.lists(
    st.tuples(st.floats(0, 10), st.floats(0, 10), st.integers(0, 6) | st.none()),
    min_size=2,
    max_size=20,
)


@given(VALUES)
def test_turned_round_it_says_the_same(rows: list[tuple[float, float, int | None]]) -> None:
    a = sums({i: row[0] for i, row in enumerate(rows)})
    b = sums({i: row[1] for i, row in enumerate(rows)})
    documents = {i: row[2] for i, row in enumerate(rows)}
    there, back = paired_difference(a, b, documents), paired_difference(b, a, documents)
    assert there.mean is not None and back.mean is not None
    assert there.interval is not None and back.interval is not None
    assert there.mean == pytest.approx(-back.mean, abs=1e-12)
    assert there.interval.low == pytest.approx(-back.interval.high, abs=1e-12)
    assert there.interval.holds(there.mean)
    assert there.told_apart == back.told_apart


@given(VALUES)
def test_a_setting_is_not_told_from_itself(rows: list[tuple[float, float, int | None]]) -> None:
    a = sums({i: row[0] for i, row in enumerate(rows)})
    found = paired_difference(a, a, {i: row[2] for i, row in enumerate(rows)})
    assert found.mean == 0
    assert found.told_apart is False
