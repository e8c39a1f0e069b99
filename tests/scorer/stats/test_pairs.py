"""Paired differences, worked out by hand, and what they say about two settings."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.stats.intervals import ClusteredMean, Interval
from scorer.stats.pairs import (
    Names,
    PairedDifference,
    as_family,
    holm,
    indistinct_groups,
    paired_difference,
)
from scorer.stats.student_t import central_probability, t_quantile
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
    apart? No: −0.15 ± 0.159 holds 0. With the last difference −0.1 all are equal: an interval
    without width says nothing about other chunks.
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
    assert (equal.interval, equal.told_apart) == (None, None)
    assert found.label == "these passages only"


def test_documents_are_the_unit_from_five_on() -> None:
    """Ten chunks of one position in five documents of two; differences d, d in document d.

    Sum over documents of (2d − 2·2)² = 4 · (4 + 1 + 0 + 1 + 4) = 40; CR1: 5/4 · 40 / 10² = 0.5.
    """
    a = sums({i: float(i // 2) for i in range(10)})
    b = sums(dict.fromkeys(range(10), 0.0))
    found = paired_difference(a, b, {i: i // 2 for i in range(10)})
    assert (found.unit, found.label) == ("document", "")
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
    assert there.mean == pytest.approx(-back.mean, abs=1e-12)
    if there.interval is None or back.interval is None:
        return
    assert there.interval.low == pytest.approx(-back.interval.high, abs=1e-12)
    assert there.interval.holds(there.mean)
    assert there.told_apart == back.told_apart


@given(VALUES)
def test_a_setting_is_not_told_from_itself(rows: list[tuple[float, float, int | None]]) -> None:
    a = sums({i: row[0] for i, row in enumerate(rows)})
    found = paired_difference(a, a, {i: row[2] for i, row in enumerate(rows)})
    assert found.mean == 0
    assert found.told_apart is False


def test_holm_adjusts_step_by_step() -> None:
    """0.01 · 4, 0.02 · 3, 0.03 · 2, 0.4 · 1, none below the one before, none above 1."""
    assert holm([0.4, 0.01, 0.03, 0.02]) == pytest.approx([0.4, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_rejects_what_its_procedure_rejects(p_values: list[float]) -> None:
    rejected: set[int] = set()
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[i] > 0.05 / (len(p_values) - rank):
            break
        rejected.add(i)
    adjusted = holm(p_values)
    for i, value in enumerate(adjusted):
        if abs(value - 0.05) > 1e-12:
            assert (value < 0.05) == (i in rejected)


def pair(mean: float, error: float, units: int = 10) -> PairedDifference:
    found = ClusteredMean(mean, error, units)
    p_value = 1 - central_probability(abs(mean) / error, units - 1)
    return PairedDifference(mean, found.interval(), "chunk", units, found, p_value)


def test_a_family_is_told_apart_by_holm_with_simultaneous_intervals() -> None:
    """Nine degrees of freedom: t 3.0 has p 0.0150, t 2.5 has 0.0339, t 1 has 0.343.

    Of three, 3 · 0.0150 = 0.045 is told apart and 2 · 0.0339 = 0.068 is not. The intervals use the
    t of 1 − 0.05 / 3, which is 2.93.
    """
    pairs: dict[Names, PairedDifference] = {
        ("a", "b"): pair(3.0, 1.0),
        ("a", "c"): pair(2.5, 1.0),
        ("b", "c"): pair(1.0, 1.0),
    }
    assert [p.told_apart for p in pairs.values()] == [True, True, False]
    found = as_family(pairs)
    assert [p.told_apart for p in found.values()] == [True, False, False]
    assert [p.p_value for p in found.values()] == pytest.approx([0.0449, 0.0678, 0.3434], abs=2e-4)
    t = t_quantile(1 - 0.025 / 3, 9)
    assert t == pytest.approx(2.933, abs=1e-3)
    for one in found.values():
        assert one.mean is not None and one.interval is not None
        assert one.interval.low == pytest.approx(one.mean - t, rel=1e-9)
        assert one.interval.high == pytest.approx(one.mean + t, rel=1e-9)


def test_pairs_that_need_no_test_do_not_weaken_the_others() -> None:
    pairs: dict[Names, PairedDifference] = {("a", "b"): pair(2.5, 1.0)}
    zero = ClusteredMean(0.0, 0.0, 10)
    pairs["a", "c"] = PairedDifference(0.0, Interval(0, 0), "chunk", 10, zero, 1.0)
    pairs["b", "c"] = PairedDifference(None, None, "chunk", 1)
    found = as_family(pairs)
    assert found["a", "b"].told_apart is True
    assert found["a", "c"] == pairs["a", "c"]
    assert found["b", "c"] == pairs["b", "c"]


def test_a_difference_that_rounding_can_cause_tells_nothing_apart() -> None:
    pairs: dict[Names, PairedDifference] = {("a", "b"): pair(3.0, 0.1)}
    found = as_family(pairs, {"b": 3.1})["a", "b"]
    assert (found.told_apart, found.below_noise_floor) == (False, True)
    found = as_family(pairs, {"b": 2.9})["a", "b"]
    assert (found.told_apart, found.below_noise_floor) == (True, False)


def test_groups_are_the_largest_of_which_no_two_are_told_apart() -> None:
    """a–b–c in a row, the outer ones apart; d like nobody; e without an interval."""
    names = "abcde"
    near = {("a", "b"), ("b", "c")}
    pairs: dict[Names, PairedDifference] = {
        (x, y): PairedDifference(
            0.0, None, "chunk", 9, apart_in_family=None if "e" in (x, y) else (x, y) not in near
        )
        for i, x in enumerate(names)
        for y in names[i + 1 :]
    }
    assert indistinct_groups(names, pairs) == [("a", "b"), ("b", "c")]
    assert indistinct_groups("ba", pairs) == [("b", "a")]


@given(st.integers(1, 7), st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6))))
def test_groups_as_found_by_trying_all(n: int, far: set[tuple[int, int]]) -> None:
    names = [str(i) for i in range(n)]
    pairs: dict[Names, PairedDifference] = {
        (names[i], names[j]): PairedDifference(
            0.0, None, "chunk", 9, apart_in_family=(i, j) in far or (j, i) in far
        )
        for i in range(n)
        for j in range(i + 1, n)
    }

    def alike(group: tuple[str, ...]) -> bool:
        return not any(pairs[two].told_apart for two in itertools.combinations(group, 2))

    tried = [
        group
        for size in range(2, n + 1)
        for group in itertools.combinations(names, size)
        if alike(group)
    ]
    largest = [g for g in tried if not any(set(g) < set(other) for other in tried)]
    assert sorted(indistinct_groups(names, pairs)) == sorted(largest)
