"""The numbers of the settings table are never longer than their column, and never cut."""

from __future__ import annotations

import itertools

import pytest

from qfid_tui.state.kv_cost import KVCost
from qfid_tui.state.setting_results import Figures
from qfid_tui.words.table_cells import (
    TotalBytes,
    cost_head,
    cost_text,
    margin_text,
    number_text,
    share_text,
)
from scorer.stats.intervals import Interval


def figures(mean: float, low: float | None = None, high: float = 0.0) -> Figures:
    ends = None if low is None else Interval(low, high)
    return Figures(9, mean, ends, mean, 0.1, 9.0, 0.1, "bad", False, None, (), True)


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0.0, "0.00 %"),
        (0.00974, "0.97 %"),
        (0.000974, "0.10 %"),
        (0.09996, "10.0 %"),
        (0.468, "46.8 %"),
        (0.99949, "99.9 %"),
        (0.9996, "100 %"),
        (1.0, "100 %"),
    ],
)
def test_shares_take_six_cells(share: float, shown: str) -> None:
    assert share_text(share) == shown and len(shown) <= 6


def test_a_kl_of_any_size_fits_with_its_interval_or_without() -> None:
    for power, half in itertools.product(range(-15, 7), (1e-3, 0.1, 0.9)):
        mean = 1.2345 * 10.0**power
        ends = mean * (1 - half), mean * (1 + half)
        for made in (figures(mean), figures(mean, *ends), figures(mean, 0.0, 30 * mean)):
            for width in (17, 19):
                shown = margin_text(made, width)
                assert 0 < len(shown) <= width and "…" not in shown, (mean, half, shown)
    assert margin_text(figures(0.1162, 0.1101, 0.1223)) == "0.1162 ±.0061"


def test_an_interval_of_two_unlike_sides_shows_both_ends() -> None:
    """As those of a run that stops once it is settled, which lie on the logarithm."""
    assert margin_text(figures(0.7326, 0.6541, 0.8206)) == "0.733 (.654–.821)"
    assert margin_text(figures(1.281e-4, 1.133e-4, 1.449e-4)) == "1.28 (1.1–1.4)e-4"
    assert margin_text(figures(1.281e-4, 0.0, 2.6e-4)) == "1.28e-4 (0–3e-4)"
    assert margin_text(figures(1.281e-4, 1.133e-4, 1.449e-4), 16) == "1.28e-4"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.00045, "+0.00045"), (-0.061, "−0.061"), (4.5e120, "+4.5e120"), (None, "—")],
)
def test_a_change_of_perplexity_fits(value: float | None, shown: str) -> None:
    assert number_text(value, 8, significant=2, sign=True) == shown


def test_bytes_per_token_that_are_too_many_digits_are_shortened() -> None:
    assert cost_text(KVCost(327680, 1.0, (), exact=False), 8) == "≈327\u202f680"
    assert cost_text(KVCost(2621440, 1.0, (), exact=False), 8) == "≈2.5 MiB"
    assert cost_text(KVCost(2621440, 1.0, ()), 11) == "2\u202f621\u202f440"


def test_total_bytes_of_a_run_with_weights_stand_in_the_column_of_bytes() -> None:
    totals = TotalBytes("128k", {"8": 394_000_000, "": 496_000_000})
    assert (totals.text("8"), totals.text(""), totals.text("6")) == ("394 MB", "496 MB", "—")
    heads = {width: cost_head(totals, width) for width in (13, 10, 8)}
    assert heads == {13: "total at 128k", 10: "total 128k", 8: "at 128k"}
    assert cost_head(None, 11) == "KV B/token" and cost_head(None, 8) == "B/token"
