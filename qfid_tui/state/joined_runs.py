"""Runs on several texts and lengths, read to be shown side by side. Call it in a thread."""

from __future__ import annotations

from collections.abc import Sequence

from qfid_tui.state.texts import TextAtLength
from scorer.common.errors import QfidError
from scorer.common.inert_text import inert
from scorer.report.joined import JoinedReport, NotScored
from scorer.report.joining import joined
from scorer.report.standings import NamedReport


def read_joined(ids: Sequence[str], missing: Sequence[TextAtLength] = ()) -> JoinedReport | str:
    """Join saved runs; a text that says why where that cannot be done.

    A run that cannot be read stands among those that were not scored.

    Args:
        ids: The runs.
        missing: Texts and lengths that have no run.
    """
    from qfid_tui.state.text_names import text_name
    from scorer.report.saved_report import saved_report
    from scorer.runs.listing import find_run

    reports: list[NamedReport] = []
    not_scored = [
        NotScored(text=text_name(text), chunk_length=length, message="there is no run of it")
        for text, length in missing
    ]
    for run_id in ids:
        text, length = run_id, 0
        try:
            run = find_run(run_id)
            text, length = text_name(run.job.corpus.source), run.job.chunk_length
            reports.append(NamedReport(run_id, saved_report(run)))
        except QfidError as error:
            not_scored.append(
                NotScored(text=text, chunk_length=length, message=error.message, hint=error.hint)
            )
    try:
        return joined(reports, not_scored)
    except QfidError as error:
        return inert(f"{error.message}; {error.hint}")
