"""How many more chunks would settle an open verdict. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scorer.stats.intervals import CONFIDENCE, FEW_DOCUMENTS
from scorer.stats.student_t import t_quantile

_PROBABILITY = (1 + CONFIDENCE) / 2
# With more degrees of freedom, t differs from this one by less than 0.2 %.
_MOST_FREEDOM = 1000
_MOST_CHUNKS = 10**12


@dataclass(frozen=True, slots=True)
class Outlook:
    """The chunks scored so far, and the documents that more of them would cover.

    Attributes:
        chunks: Number of chunks scored.
        documents: Number of known documents that they cover.
        planned: The document of each planned chunk, in scoring order, None where unknown; empty
            if the plan is not known.
    """

    chunks: int
    documents: int = 0
    planned: Sequence[int | None] = ()

    def units_after(self, chunks: int) -> int:
        """Return the number of independent units that so many chunks would have.

        Of planned chunks the documents are known; further ones are taken to cover as many
        documents a chunk.

        Args:
            chunks: Number of chunks, at least those scored.
        """
        planned = self.planned
        if chunks <= len(planned):
            covered: float = len(set(planned[:chunks]) - {None})
        elif len(planned) > self.chunks:
            covered = len(set(planned) - {None}) * chunks / len(planned)
        else:
            covered = self.documents * chunks / max(1, self.chunks)
        if covered < FEW_DOCUMENTS:
            return chunks
        return max(int(covered), FEW_DOCUMENTS, self.documents)


def by_students_t(outlook: Outlook) -> Callable[[int], float]:
    """Return the factor on the standard error after a number of chunks: t of its own freedom."""
    return lambda chunks: t_quantile(
        _PROBABILITY, min(max(1, outlook.units_after(chunks) - 1), _MOST_FREEDOM)
    )


def chunks_to_settle(
    error: float,
    distance: float,
    outlook: Outlook,
    factor: Callable[[int], float] = lambda chunks: 1.0,
) -> int | None:
    """Estimate how many more chunks bring the end of the interval to the threshold.

    The smallest number ``m′`` of chunks with ``factor(m′) · error · √(m / m′) ≤ distance``, minus
    the ``m`` scored.

    Args:
        error: Standard error now, in the unit of the metric; half the width of an interval that
            is no multiple of one.
        distance: From the point estimate to the threshold.
        outlook: The chunks scored and planned.
        factor: By what the error is multiplied after a number of chunks; by nothing if left out.

    Returns:
        A number of chunks, at least 1; None if no number settles it: the distance is 0, or the
        error is not finite.
    """
    now = outlook.chunks
    if not distance > 0 or not math.isfinite(distance) or not math.isfinite(error):
        return None

    def settled(chunks: int) -> bool:
        return factor(chunks) * error * math.sqrt(now / chunks) <= distance

    high = now + 1
    while not settled(high):
        if high > _MOST_CHUNKS:
            return None
        high *= 2
    low = max(now, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settled(middle) else (middle, high)
    return high - now
