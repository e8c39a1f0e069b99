"""The report of a saved run: the one it stored, or one made again from its positions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from scorer.common.errors import InputError

if TYPE_CHECKING:
    from scorer.runs.run import Run

EDITED = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError)
"""What reading a file raises that someone has edited: a value of another type, or none at all."""


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
    from scorer.report.from_run import finished_report

    try:
        made = finished_report(run)
    except EDITED as error:
        raise _damaged(run) from error
    if not _is_whole(made):
        raise _damaged(run)
    return made


def _is_whole(report: dict[str, Any]) -> bool:
    """Whether a report can be shown in every form: a file that was edited may lack anything."""
    from scorer.report.formats.badge import to_badges
    from scorer.report.formats.csv_export import to_csv
    from scorer.report.formats.markdown import to_markdown
    from scorer.report.formats.model_card import to_model_card

    try:
        json.dumps(report, allow_nan=False)
        for form in (to_markdown, to_model_card, to_csv, to_badges):
            form(report)
        return all(
            isinstance(row["setting"], str)
            and isinstance(row["same_as"], str | None)
            and type(row["n_chunks"]) is int
            for row in report["settings"]
        )
    except EDITED:
        return False


def _damaged(run: Run) -> InputError:
    return InputError(
        f"run `{run.id}` cannot be reported: the facts in its `job.json` or of its chunks are "
        "damaged",
        "score it anew with `qfid kv`",
    )
