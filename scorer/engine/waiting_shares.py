"""What of the shares of a rank is not scored yet: each outcome belongs to one of them.

Shares are scored without a break, so an outcome of one can come when the next is begun.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol, TypeVar

from scorer.engine.outcomes import LaneFailed, Scored, ScoreTask

Place = tuple[int, str]
"""First chunk of a batch and key of a lane."""


class WaitingShare(Protocol):
    """A share that is being scored.

    Attributes:
        waiting: What of it is to be scored.
    """

    waiting: set[Place]


_Share = TypeVar("_Share", bound=WaitingShare)


def places_of(tasks: Iterable[ScoreTask]) -> set[Place]:
    """All that tasks ask for."""
    return {(task.batch.chunks[0], lane.key) for task in tasks for lane in task.lanes}


def taken_by(outcome: Scored | LaneFailed, shares: Collection[_Share]) -> _Share | None:
    """The share that an outcome belongs to, which waits for it no more.

    Args:
        outcome: Outcomes come in order, so a lane fails on the first batch that waits for it.
        shares: In order. None of them waits for a lane that has failed.

    Returns:
        None where nobody waits for it: nothing of a lane counts after it failed.
    """
    key = outcome.lane.key
    if isinstance(outcome, Scored):
        place = int(outcome.chunks[0].chunk[0]), key
        found = next((share for share in shares if place in share.waiting), None)
        if found is not None:
            found.waiting.discard(place)
        return found
    found = next((share for share in shares if any(k == key for _, k in share.waiting)), None)
    wait_no_more(key, shares)
    return found


def wait_no_more(key: str, shares: Iterable[WaitingShare]) -> None:
    """Note that nothing more comes of a lane."""
    for share in shares:
        share.waiting = {place for place in share.waiting if place[1] != key}
