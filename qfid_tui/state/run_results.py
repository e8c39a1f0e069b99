"""What a saved run found, for lists of runs: KL, flips and verdict of each setting."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from scorer.report.formats.inline import digits
from scorer.report.rules import RULES

if TYPE_CHECKING:
    from scorer.runs.run_index import ListedRun, RunIndex
    from scorer.runs.run_info import RunInfo

# As many settings as are named one by one where weights are compared.
_MOST = 2
_RESULT_TYPES = frozenset({(str, float, float, str)})


class RunResult(NamedTuple):
    """The result of one setting in the stored report of a run: a tuple, as lists make thousands.

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


def outcome_of(info: RunInfo) -> RunOutcome:
    """Read the results of a run from its stored report, and which of them is recommended.

    An unfinished run has those of the moment at which it was stopped.
    """
    from scorer.common.errors import QfidError
    from scorer.report.saved_report import stored_report
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


def read_outcomes(index: RunIndex, runs: Iterable[ListedRun]) -> list[RunOutcome]:
    """Read the results of runs, as far as the index does not hold them. Call it in a thread.

    Args:
        index: Keeps what is read.
        runs: Runs that it has just looked at.
    """
    return [_outcome(index, run) for run in runs]


def read_texts(index: RunIndex, runs: Iterable[ListedRun]) -> list[str]:
    """Read the results of runs as :func:`results_text` gives them, see :func:`read_outcomes`."""
    return [_text(index, run) for run in runs]


def results_text(info: RunInfo, results: Iterable[RunResult], best: RunResult | None = None) -> str:
    """``8: 0.00035 good?, 4: 0.113 bad, 2``, KL mean in nats; one without a result stands alone.

    A run that compares weights has more settings than a line holds: its best one and how many
    there are stand for them, ``w8+8: 0.00047 good, best of 14``.

    Args:
        info: The run.
        results: Those of its settings.
        best: The one to name of a run that compares weights; None for none.
    """
    found = dict.fromkeys(info.settings, "") | dict.fromkeys(info.failed, ": failed")
    results = list(results)
    for result in results:
        found[result.setting] = f": {_shown(result)}"
    if len(info.settings) > _MOST and any(name.startswith("w") for name in info.settings):
        failed = f", {len(info.failed)} failed" if info.failed else ""
        if best is None:
            return f"{len(info.settings)} settings{failed}"
        return f"{_short(best.setting)}: {_shown(best)}, best of {len(info.settings)}{failed}"
    return ", ".join([_short(name) + found[name] for name in info.settings])


def _shown(result: RunResult) -> str:
    return f"{digits(result.kl_mean, significant=3)} {result.verdict}"


def _short(setting: str) -> str:
    """A setting with the last part of the name of its repo or folder."""
    if not setting.startswith("w="):
        return setting
    source, joint, cache = setting.partition("+")
    return source.rstrip("/").rpartition("/")[2] + joint + cache


def _text(index: RunIndex, run: ListedRun) -> str:
    kept = run.results
    # Thousands of texts take as long to make as to find out that no run has changed.
    if type(kept) is list and len(kept) == 4 and kept[0] == RULES and type(kept[3]) is str:
        return kept[3]
    found = _outcome(index, run)
    return results_text(run.info, found.results, found.best)


def _outcome(index: RunIndex, run: ListedRun) -> RunOutcome:
    kept = _kept_outcome(run.results)
    if kept is not None:
        return kept
    found = outcome_of(run.info)
    # A report that could not be read may be readable the next time.
    if found.results or not run.has_report:
        place = None if found.best is None else found.results.index(found.best)
        rows = [list(result) for result in found.results]
        text = results_text(run.info, found.results, found.best)
        index.keep_results(run, [RULES, place, rows, text])
    return found


def _kept_outcome(values: Any) -> RunOutcome | None:
    """What the index keeps of the results of a run; None where it is no outcome of these rules."""
    if type(values) is not list or len(values) != 4 or values[0] != RULES:
        return None
    _, place, rows, _ = values
    if type(rows) is not list or not all(type(row) is list for row in rows):
        return None
    if not _RESULT_TYPES.issuperset(tuple(map(type, row)) for row in rows):
        return None
    results = tuple(RunResult(*row) for row in rows)
    if place is None:
        return RunOutcome(results)
    if type(place) is not int or not 0 <= place < len(results):
        return None
    return RunOutcome(results, results[place])


def _best(results: Sequence[RunResult], recommended: str | None) -> RunResult | None:
    for result in results:
        if result.setting == recommended:
            return result
    known = [result for result in results if not math.isnan(result.kl_mean)]
    return min(known, key=lambda result: result.kl_mean, default=None)
