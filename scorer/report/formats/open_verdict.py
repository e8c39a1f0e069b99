"""Why a verdict is open, in words. Pure standard library."""

from __future__ import annotations

from collections.abc import Sequence

from scorer.report.formats.inline import count
from scorer.stats.stopping import FEWEST_UNITS
from scorer.stats.verdict import P99_POSITIONS, Lack, MissingInterval, OpenBound

LACKS: dict[Lack, str] = {
    "one chunk": "one chunk gives no interval",
    "few positions": f"fewer than {P99_POSITIONS} positions give no interval",
    "no width": "all chunks are equal in it",
    "no look": "the run has not looked yet",
    "few units": f"fewer than {FEWEST_UNITS} independent units at the last look",
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


def settling(
    bounds: Sequence[OpenBound],
    lacking: Sequence[MissingInterval],
    n_chunks: int,
    total: int | None,
) -> str:
    """What would settle an open verdict as a whole; "" where nothing is open.

    Args:
        bounds: Its open bounds.
        lacking: Its metrics without a usable interval.
        n_chunks: Chunks scored.
        total: Chunks of the text; None where that is not known.
    """
    if lacking:
        return ", ".join(dict.fromkeys(LACKS[metric.why] for metric in lacking))
    if not bounds:
        return ""
    # What no number of chunks settles comes first, then what takes the most.
    hardest = max(
        bounds, key=lambda b: (b.below_noise_floor, b.more_chunks is None, b.more_chunks or 0)
    )
    return settles(hardest, n_chunks, total)
