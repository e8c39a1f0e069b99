"""Why a verdict is open, in words. Pure standard library."""

from __future__ import annotations

from scorer.report.formats.inline import count
from scorer.stats.verdict import P99_POSITIONS, Lack, OpenBound

LACKS: dict[Lack, str] = {
    "one chunk": "one chunk gives no interval",
    "few positions": f"fewer than {P99_POSITIONS} positions give no interval",
    "no width": "all chunks are equal in it",
}
"""Why a metric has no usable interval."""


def settles(bound: OpenBound, n_chunks: int, total: int | None) -> str:
    """What would settle an open bound.

    Args:
        bound: The bound.
        n_chunks: Chunks scored.
        total: Chunks of the text; None where that is not known.
    """
    if bound.below_noise_floor:
        return "that is within the noise floor, which no number of chunks narrows"
    more = bound.more_chunks
    if more is None:
        return "no number of chunks settles a value on the bound"
    words = f"about {count(more)} more {'chunk' if more == 1 else 'chunks'} would settle it"
    if total is not None and more > total - n_chunks:
        words += f", more than the {count(total)} of this text leave"
    return words
