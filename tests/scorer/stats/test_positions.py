"""Rows of scored positions: taken apart, put together, compared."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from scorer.stats.positions import Positions


def positions(count: int, seed: int = 0) -> Positions:
    rng = np.random.default_rng(seed)

    def whole() -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        return rng.integers(0, 3, count).astype(np.int32)

    def real() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return rng.standard_normal(count)

    return Positions(
        *(whole(), whole(), whole(), real(), real(), real()),
        *(whole(), real(), whole(), real()),
    )


def test_every_column_follows_the_rows() -> None:
    found = positions(9)
    mask = np.arange(9) % 2 == 0
    for rows in (slice(2, 6), mask, np.array([5, 5, 0])):
        part = found.select(rows)
        for field in fields(Positions):
            column = getattr(found, field.name)
            np.testing.assert_array_equal(getattr(part, field.name), column[rows])
            assert getattr(part, field.name).dtype == column.dtype


@pytest.mark.parametrize("cut", [0, 1, 4, 9])
def test_parts_put_together_are_the_whole(cut: int) -> None:
    found = positions(9)
    joined = Positions.concatenate([found.select(slice(0, cut)), found.select(slice(cut, None))])
    assert len(joined) == 9
    for field in fields(Positions):
        np.testing.assert_array_equal(getattr(joined, field.name), getattr(found, field.name))


def test_flips_are_the_tops_that_differ() -> None:
    found = positions(40)
    expected = [a != b for a, b in zip(found.top_ref, found.top_quant, strict=True)]
    assert found.flips.dtype == bool
    assert found.flips.tolist() == expected
    assert 0 < sum(expected) < 40
