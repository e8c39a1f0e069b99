"""The looks at a run that wants one answer: settings that cannot be it are scored no further."""

from __future__ import annotations

from scorer.report.dropping import droppable
from scorer.report.from_run import finished_report
from scorer.runs.run import Run

FIRST_LOOK = 8
"""Chunks after which settings are dropped for the first time."""

_GROWTH = 2


def looks(chunks: int, *, in_turns: bool) -> list[int]:
    """After how many chunks settings are dropped.

    Args:
        chunks: Chunks of the run.
        in_turns: Whether sets of weights take turns: each look loads them all again, so there is
            one.

    Returns:
        Ascending numbers below ``chunks``.
    """
    found: list[int] = []
    at = FIRST_LOOK
    while at < chunks and not (in_turns and found):
        found.append(at)
        at *= _GROWTH
    return found


def drop(run: Run) -> dict[str, str]:
    """Drop the settings of a run that cannot be the answer any more; what is scored stays.

    Returns:
        Setting in notation to the reason in words.
    """
    found = droppable(finished_report(run))
    run.mark_dropped(found)
    return found
