"""Means and errors of chunks that come one by one are those of the report, of any sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfid_tui.state.live_statistics import ChunkMean, LiveStatistics
from scorer.spec.events import ChunkScored
from scorer.stats.intervals import clustered_mean, units_of

values = st.floats(0.001, 2.0)
chunks = st.lists(
    st.tuples(values, st.integers(1, 500), st.integers(0, 8)), min_size=2, max_size=20
)


@given(chunks, st.booleans(), st.booleans())
def test_chunks_weigh_as_much_as_they_have_positions(
    found: list[tuple[float, int, int]], of_one_size: bool, with_documents: bool
) -> None:
    if of_one_size:
        found = [(value, 127, document) for value, _, document in found]
    documents = {i: d if with_documents else None for i, (_, _, d) in enumerate(found)}
    live = ChunkMean()
    for i, (value, size, _) in enumerate(found):
        live.add(value, documents[i], size / found[0][1])
    sizes = [size for _, size, _ in found]
    sums = [value * size for value, size, _ in found]
    expected = clustered_mean(sums, sizes, units_of(range(len(found)), documents))
    assert expected is not None and live.clustered is not None
    assert live.mean == pytest.approx(expected.mean, rel=1e-12)
    assert live.clustered.units == expected.units
    # What is left of equal values depends on the order of additions.
    assert live.clustered.error == pytest.approx(expected.error, rel=1e-6, abs=1e-6 * expected.mean)


def test_a_setting_weighs_its_chunks() -> None:
    live = LiveStatistics({0: None, 1: None}, ())
    for chunk, (positions, kl, flips) in enumerate(((10, 1.0, 5), (30, 3.0, 0))):
        live.add(
            ChunkScored("8", chunk, positions, kl, kl, kl, flips, 1.0, 1.0, 0.1, kl_squares=1.0)
        )
    assert live.estimates["kl_mean"].value == pytest.approx(2.5)
    assert live.estimates["flip_rate"].value == pytest.approx(5 / 40)
