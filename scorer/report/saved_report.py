"""The report of a saved run: the one it stored, or one made again from its positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from scorer.common.errors import InputError, QfidError
from scorer.report.groups import with_groups
from scorer.report.row_keys import with_fingerprints, with_row_keys
from scorer.report.rules import RULES, by_present_rules, with_warning
from scorer.report.tree import Report
from scorer.runs.comparability import run_conditions

if TYPE_CHECKING:
    from scorer.runs.run import Run
    from scorer.runs.stored_chunks import StoredChunks
    from scorer.spec.deployment import DeploymentSpec

EDITED = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError)
"""What values raise that someone has edited: parts of a report that do not belong together."""
_AS_STORED = (
    "an earlier version made this report, and its positions cannot be read to make it by the "
    "present rules"
)


def saved_report(
    run: Run,
    stored_chunks: Mapping[str, StoredChunks] | None = None,
    *,
    for_figures: bool = False,
) -> Report:
    """The run's report.

    A finished run's is the stored one, if the rules of this version made it. Any other is made
    from the positions, which may have grown since a report was stored.

    Args:
        run: The run.
        stored_chunks: What it has stored, where the caller has read that already.
        for_figures: The caller takes figures from it and shows none of its forms, so that a stored
            one is not tried in each of them.

    Raises:
        QfidError: Nothing is scored yet, or the run is damaged.
    """
    stored = stored_report(run) if run.finished else None
    if stored is not None and not for_figures and not _can_be_shown(stored):
        stored = None
    if stored is not None and not stored.run.conditions:
        stored = with_row_keys(stored, run_conditions(run.readable_facts))
    if stored is not None:
        stored = with_fingerprints(stored, run.readable_facts.fingerprints)
    if stored is not None and stored.groups is None:
        stored = with_groups(stored)
    if stored is not None and stored.rules >= RULES:
        return stored
    from scorer.report.from_run import finished_report

    try:
        made = finished_report(run, stored_chunks)
        if _can_be_shown(made):
            return made
    except EDITED as error:
        if stored is None:
            raise _damaged(run) from error
    except QfidError:
        if stored is None:
            raise
    if stored is None:
        raise _damaged(run)
    return with_warning(stored, _AS_STORED)


def stored_report(run: Run) -> Report | None:
    """The report that a run has stored; None where there is none that can be read.

    One of earlier rules has its verdicts opened where a metric has no usable interval.
    """
    values = run.report()
    try:
        return None if values is None else by_present_rules(Report.from_json(values))
    except InputError:
        return None


def deployed_report(
    run: Run, deployment: DeploymentSpec | None, first: int | None = None
) -> Report:
    """The run's report for another deployment or of its first chunks: nothing is scored.

    Args:
        run: The run.
        deployment: Where the model is to run; None for what the run was asked.
        first: Of how many chunks, the first of the run's order; None for all.

    Raises:
        QfidError: Nothing is scored yet, or the run is damaged.
        InputError: An older version made the run, which does not say what memory a model takes.
    """
    from scorer.report.from_run import finished_report

    try:
        made = finished_report(run, deployment=deployment, first=first)
    except EDITED as error:
        raise _damaged(run) from error
    if not _can_be_shown(made):
        raise _damaged(run)
    return made


def _can_be_shown(report: Report) -> bool:
    """Whether a report has every form: its parts may have been edited one by one."""
    from scorer.report.formats.badge import to_badges
    from scorer.report.formats.csv_export import to_csv
    from scorer.report.formats.json_text import report_text
    from scorer.report.formats.markdown import to_markdown
    from scorer.report.formats.model_card import to_model_card

    try:
        for form in (report_text, to_markdown, to_model_card, to_csv, to_badges):
            form(report)
        Report.from_json(report.to_json())
    except (InputError, *EDITED):
        return False
    return True


def _damaged(run: Run) -> InputError:
    return InputError(
        f"run `{run.id}` cannot be reported: the facts in its `job.json` or of its chunks are "
        "damaged",
        "score it anew with `qfid kv`",
    )
