"""Two runs paired as ``qfid diff`` pairs them: call it in a thread, it reads their positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scorer.common.errors import QfidError

if TYPE_CHECKING:
    from scorer.report.run_diff_part import RunDiff


@dataclass(frozen=True, slots=True)
class PairedRuns:
    """Two runs paired, or why they are not.

    Attributes:
        diff: How far they lie apart; None where they are not paired.
        why_not: Why not, in words; "" where they are.
    """

    diff: RunDiff | None
    why_not: str = ""


def read_paired(a: str, b: str) -> PairedRuns:
    """Pair two runs, each named by its id, on the settings and chunks that both have."""
    from scorer.results import diff_runs

    try:
        return PairedRuns(diff_runs(a, b))
    except QfidError as error:
        # The screen numbers them.
        return PairedRuns(None, error.message.replace(f"`{a}`", "1").replace(f"`{b}`", "2"))
