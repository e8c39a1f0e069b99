"""What a saved run found, for lists of runs: KL, flips and verdict of each setting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scorer.runs.run_info import RunInfo


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of one setting in the stored report of a run.

    Attributes:
        setting: In notation.
        kl_mean: Nats.
        flip_rate: 0 to 1.
        verdict: The tier, with ``?`` where it is open.
    """

    setting: str
    kl_mean: float
    flip_rate: float
    verdict: str


def results_of(info: RunInfo) -> tuple[RunResult, ...]:
    """Read the results of a run from its stored report, in the order of the report.

    An unfinished run has those of the moment at which it was stopped. Empty if there is no report
    that this version can read.
    """
    from qfid_tui.state.saved_report import stored_report
    from scorer.common.errors import QfidError
    from scorer.runs.run import Run

    if info.state == "broken":
        return ()
    try:
        report = stored_report(Run(info.path))
    except (QfidError, OSError):
        return ()
    if report is None:
        return ()
    return tuple(
        RunResult(
            row.setting, row.numbers.kl.mean, row.numbers.flip_rate, row.numbers.verdict_shown
        )
        for row in report.settings
        if row.numbers is not None
    )
