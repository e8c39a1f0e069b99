"""The report of a saved run: the one it stored, or one made again from its positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scorer.run import Run


def saved_report(run: Run) -> dict[str, Any]:
    """The run's report as JSON values.

    A finished run's is the stored one. Any other is made from the positions, which may have grown
    since a report was stored.

    Raises:
        QfidError: Nothing is scored yet, or the run is damaged.
    """
    stored = run.report() if run.finished else None
    if stored is not None and _is_whole(stored):
        return stored
    from scorer.finish import finished_report

    return finished_report(run)


def _is_whole(report: dict[str, Any]) -> bool:
    """Whether a stored report can be printed: a file that was edited may lack anything."""
    from scorer.markdown import to_markdown

    try:
        to_markdown(report)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return False
    return True
