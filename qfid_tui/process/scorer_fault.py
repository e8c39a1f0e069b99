"""The last event of a run whose scorer sent something that cannot be used."""

from __future__ import annotations

from scorer.spec.events import Failed

SCORER_FAULT = "ScorerFault"
"""The kind of error that it names."""


def scorer_fault(why: str, run: str | None) -> Failed:
    """What stands in the place of an event that is damaged or makes no sense.

    Args:
        why: What is wrong with it.
        run: Id of the run; None before it is known.
    """
    hint = "`qfid doctor` examines this machine"
    if run is not None:
        hint = f"`qfid resume {run}` goes on with it"
    return Failed(SCORER_FAULT, why, hint, run=run)
