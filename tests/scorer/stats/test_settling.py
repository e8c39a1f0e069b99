"""How many more chunks settle an open verdict: by hand, and by trying every number."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.stats.settling import Outlook, by_students_t, chunks_to_settle
from scorer.stats.student_t import t_quantile


def test_half_the_width_shrinks_with_the_root_of_the_chunks() -> None:
    # 8 chunks, half-width 0.4, distance 0.2: 8 · 4 − 8
    assert chunks_to_settle(0.4, 0.2, Outlook(8)) == 24
    assert chunks_to_settle(0.2, 0.2, Outlook(8)) == 1
    assert chunks_to_settle(0.4, 0.0, Outlook(8)) is None
    assert chunks_to_settle(math.inf, 0.1, Outlook(8)) is None
    assert chunks_to_settle(1.0, 1e-15, Outlook(8)) is None


def test_two_chunks_are_not_multiplied_by_their_own_t() -> None:
    """Half-width 114 times the distance: 2 · 114² − 2 = 26 000 with the t of two chunks, 12.7.

    The interval of 620 chunks has 1.96 in its place: 26 000 · (1.96 / 12.7)² = 620.
    """
    error, distance = 114.03 / t_quantile(0.975, 1), 1.0
    more = chunks_to_settle(error, distance, Outlook(2), by_students_t(Outlook(2)))
    assert more == pytest.approx(620, abs=3)
    in_documents = Outlook(2, documents=1)
    more = chunks_to_settle(error, distance, in_documents, by_students_t(in_documents))
    assert more == pytest.approx(622, abs=4)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(2, 40),
    st.floats(0.01, 3),
    st.lists(st.none() | st.integers(0, 12), max_size=60),
)
def test_it_is_the_smallest_number_or_one_that_settles(
    now: int, error: float, planned: list[int | None]
) -> None:
    outlook = Outlook(now, len(set(planned[:now]) - {None}), planned)
    factor = by_students_t(outlook)
    more = chunks_to_settle(error, 1.0, outlook, factor)
    assert more is not None

    def settled(chunks: int) -> bool:
        return factor(chunks) * error * math.sqrt(now / chunks) <= 1.0

    assert settled(now + more)
    assert more == 1 or not settled(now + more - 1)


def test_planned_chunks_cover_the_documents_they_cover() -> None:
    planned = [0, 0, 0, 0, 1, 2, 3, 4, 5, 6]
    outlook = Outlook(2, 1, planned)
    assert [outlook.units_after(m) for m in (2, 4, 7, 8, 9, 10)] == [2, 4, 7, 5, 6, 7]
    # 7 documents in 10 chunks, so 70 in 100.
    assert outlook.units_after(100) == 70
    assert Outlook(20, 10).units_after(60) == 30
    assert Outlook(20, 0).units_after(60) == 60
    assert Outlook(20, 1).units_after(60) == 60
