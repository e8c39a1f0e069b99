"""Chi-square quantiles against printed tables and closed forms."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest

from scorer.stats.chi_square import below, chi_square_quantile

# NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.4.
TABLE = {
    (0.025, 1): 0.001,
    (0.025, 3): 0.216,
    (0.025, 7): 1.690,
    (0.025, 15): 6.262,
    (0.05, 10): 3.940,
    (0.95, 10): 18.307,
    (0.975, 7): 16.013,
    (0.99, 30): 50.892,
}


@pytest.mark.parametrize(("at", "expected"), TABLE.items())
def test_quantiles_of_tables(at: tuple[float, int], expected: float) -> None:
    assert chi_square_quantile(*at) == pytest.approx(expected, abs=5.1e-4)


@pytest.mark.parametrize("p", [1e-6, 0.025, 0.5, 0.975, 0.9999])
def test_quantiles_of_closed_forms(p: float) -> None:
    # One degree of freedom: the square of a normal variable. Two: exponential.
    root = NormalDist().inv_cdf((1 + p) / 2)
    assert chi_square_quantile(p, 1) == pytest.approx(root * root, rel=1e-9)
    assert chi_square_quantile(p, 2) == pytest.approx(-2 * math.log1p(-p), rel=1e-12)
    # Four: P(X < x) = 1 − (1 + x/2)·exp(−x/2).
    x = chi_square_quantile(p, 4)
    assert 1 - (1 + x / 2) * math.exp(-x / 2) == pytest.approx(p, abs=1e-12)
    assert below(x, 4) == pytest.approx(p, rel=1e-12)


@pytest.mark.parametrize(("p", "df"), [(0.0, 3), (1.0, 3), (0.5, 0), (math.nan, 3)])
def test_it_refuses(p: float, df: int) -> None:
    with pytest.raises(ValueError, match="no chi-square quantile"):
        chi_square_quantile(p, df)
    assert below(0.0, 3) == 0
