"""Shares of independent items, and how two of them differ where both are of the same items.

Of a test with n items, answered once by one model and once by another, the answers to one item are
a pair. Standard library only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from scorer.stats.intervals import CONFIDENCE, Interval


def together(comparisons: int, confidence: float = CONFIDENCE) -> float:
    """Return the confidence of each of several intervals that all hold at once (Bonferroni)."""
    return 1 - (1 - confidence) / max(1, comparisons)


def wilson(count: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Return Wilson's score interval of a share.

    Args:
        count: Items of which it holds.
        n: All items, at least 1.
        confidence: Between 0 and 1.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = count / n, 1 + z * z / n
    center = (share + z * z / (2 * n)) / weight
    half = z / weight * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At 0 and at 1 rounding would leave an end a little off.
    low = 0.0 if count == 0 else max(0.0, center - half)
    return Interval(low, 1.0 if count == n else min(1.0, center + half))


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """How often each of two models is right about the same items.

    Attributes:
        both: Items that both have right.
        first: Items that only the first has right.
        second: Items that only the second has right.
        neither: Items that neither has right.
    """

    both: int
    first: int
    second: int
    neither: int

    @property
    def n(self) -> int:
        """All items."""
        return self.both + self.first + self.second + self.neither

    @property
    def difference(self) -> float:
        """Share that the second has right less that of the first, −1 to 1."""
        return (self.second - self.first) / self.n

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Return the interval of the difference: Newcombe's score interval for paired data.

        Args:
            confidence: Between 0 and 1.

        It has a width also where no item differs, and stays within −1 and 1.

        Source: Newcombe, "Improved confidence intervals for the difference between binomial
        proportions based on paired data", 1998, method 10.
        """
        n = self.n
        one, other = self.both + self.second, self.both + self.first
        p, q = one / n, other / n
        of_p, of_q = wilson(one, n, confidence), wilson(other, n, confidence)
        phi = self._correlation()

        def distance(a: float, b: float) -> float:
            return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

        difference = self.difference
        low = difference - distance(p - of_p.low, of_q.high - q)
        high = difference + distance(of_p.high - p, q - of_q.low)
        return Interval(max(-1.0, low), min(1.0, high))

    def _correlation(self) -> float:
        """The correlation of the pairs, corrected for continuity where it is positive."""
        a, b, c, d = self.both, self.first, self.second, self.neither
        margins = (a + b) * (c + d) * (a + c) * (b + d)
        if not margins:
            return 0.0
        excess = float(a * d - b * c)
        if excess > 0:
            excess = max(0.0, excess - self.n / 2)
        return excess / math.sqrt(margins)

    def p_value(self) -> float:
        """Return the two-sided p-value of McNemar's exact test that both are right as often.

        Source: McNemar, "Note on the sampling error of the difference between correlated
        proportions or percentages", 1947; exact: a binomial test of the items that differ.
        """
        differing = self.first + self.second
        fewer = min(self.first, self.second)
        if 2 * fewer == differing:
            return 1.0
        tail = sum(math.comb(differing, k) for k in range(fewer + 1))
        # Whole numbers of any size are divided exactly rounded.
        return min(1.0, 2 * tail / (1 << differing))
