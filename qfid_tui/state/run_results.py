"""What a saved run found, for lists of runs: KL, flips and verdict of each setting."""

from __future__ import annotations

import math
from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """The results of a run.

    Attributes:
        results: Of its settings, in the order of the report; empty where there is no report that
            this version can read.
        best: The recommended one, else the one that drifts least; None without results.
    """

    results: tuple[RunResult, ...] = ()
    best: RunResult | None = None


def results_of(info: RunInfo) -> tuple[RunResult, ...]:
    """Read the results of a run from its stored report, in the order of the report.

    An unfinished run has those of the moment at which it was stopped. Empty if there is no report
    that this version can read.
    """
    return outcome_of(info).results


def outcome_of(info: RunInfo) -> RunOutcome:
    """Read the results of a run from its stored report, and which of them is recommended."""
    from qfid_tui.state.saved_report import stored_report
    from scorer.common.errors import QfidError
    from scorer.runs.run import Run

    if info.state == "broken":
        return RunOutcome()
    try:
        report = stored_report(Run(info.path))
    except (QfidError, OSError):
        return RunOutcome()
    if report is None:
        return RunOutcome()
    results = tuple(
        RunResult(
            row.setting, row.numbers.kl.mean, row.numbers.flip_rate, row.numbers.verdict_shown
        )
        for row in report.settings
        if row.numbers is not None
    )
    advice = report.recommendation
    return RunOutcome(results, _best(results, None if advice is None else advice.setting))


def read_outcomes(infos: Sequence[RunInfo]) -> list[RunOutcome]:
    """Read the results of runs. Call it in a thread."""
    return [outcome_of(info) for info in infos]


def _best(results: Sequence[RunResult], recommended: str | None) -> RunResult | None:
    for result in results:
        if result.setting == recommended:
            return result
    known = [result for result in results if not math.isnan(result.kl_mean)]
    return min(known, key=lambda result: result.kl_mean, default=None)
