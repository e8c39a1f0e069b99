"""A report in one of its formats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scorer.report.tree import Report
    from scorer.runs.run import Run
    from scorer.runs.stored_chunks import StoredChunks
    from scorer.spec.deployment import DeploymentSpec
    from scorer.stats.positions import Positions

FORMATS = (
    "md",
    "html",
    "json",
    "mqf-json",
    "csv",
    "positions",
    "parquet",
    "badge",
    "card",
    "answer",
)
JOINED_FORMATS = ("md", "html", "json", "csv")
"""Formats of the report of several runs."""
MQF_JSON = "mqf-json"
ANSWER = "answer"


def rendered(
    format: str,
    report: Report,
    run_id: str,
    only: str | None = None,
    asked: DeploymentSpec | None = None,
) -> Iterable[str | bytes]:
    """The report as parts of text, or of bytes for ``parquet``.

    Args:
        format: One of ``FORMATS``.
        report: The report.
        run_id: Its run; the formats ``positions`` and ``parquet`` read its positions.
        only: The setting that ``mqf-json`` holds; None where there is only one.
        asked: The deployment that the report was made anew for; None for that of the run.

    Raises:
        QfidError: The run cannot be read, or the format cannot hold the report.
    """
    if format == "parquet":
        from scorer.report.formats.parquet_export import positions_parquet
        from scorer.runs.listing import find_run

        positions, roles = _stored_positions(find_run(run_id), report)
        return positions_parquet(positions, keys=_keys(report), roles=roles)
    if format == MQF_JSON:
        from scorer.report.formats.mqf_json import to_mqf_json

        return [to_mqf_json(report, only)]
    return rendered_text(format, report, run_id, asked)


def rendered_text(
    format: str, report: Report, run_id: str, asked: DeploymentSpec | None = None
) -> Iterable[str]:
    """The report as parts of text.

    Args:
        format: One of ``FORMATS`` but ``parquet`` and ``mqf-json``.
        report: The report.
        run_id: Its run; the formats ``positions`` and ``html`` read its positions.
        asked: As of :func:`rendered`.

    Raises:
        QfidError: The run cannot be read.
    """
    if format == "json":
        from scorer.report.formats.json_text import report_text

        return [report_text(report)]
    if format == "html":
        from qfid_tui.state.html_report import html_report
        from scorer.runs.listing import find_run

        return [html_report(find_run(run_id), report)]
    if format == "csv":
        from scorer.report.formats.csv_export import to_csv

        return [to_csv(report)]
    if format == "positions":
        from scorer.report.formats.csv_export import positions_csv
        from scorer.runs.listing import find_run

        positions, roles = _stored_positions(find_run(run_id), report)
        return positions_csv(positions, keys=_keys(report), roles=roles)
    if format == "badge":
        from scorer.report.formats.badge import to_badges

        return [to_badges(report)]
    if format == "card":
        from scorer.report.formats.model_card import to_model_card

        return [to_model_card(report)]
    if format == ANSWER:
        from scorer.report.formats.answer import to_answer

        return [to_answer(report, run_id, asked)]
    from scorer.report.formats.markdown import to_markdown

    return [to_markdown(report)]


def _keys(report: Report) -> dict[str, str | None]:
    return {row.setting: row.key_text for row in report.settings}


def _stored_positions(
    run: Run, report: Report
) -> tuple[Iterable[tuple[str, Positions]], Iterable[Sequence[str]] | None]:
    """The positions of each setting, chunk by chunk, in order, and the roles of a chat text.

    A setting computed as another has the other's.

    Raises:
        QfidError: While positions are taken: the run holds fewer intact chunks than the report.
    """
    from itertools import chain

    stored = run.read()
    found = [stored.get(row.same_as or row.setting) for row in report.settings]
    roles = None
    if any(chunks.has_roles for chunks in found if chunks is not None):
        roles = chain.from_iterable(chunks.roles() for chunks in found if chunks is not None)
    return _positions_of(run, report, found), roles


def _positions_of(
    run: Run, report: Report, stored: Sequence[StoredChunks | None]
) -> Iterable[tuple[str, Positions]]:
    from scorer.common.errors import QfidError

    for row, chunks in zip(report.settings, stored, strict=True):
        intact = 0 if chunks is None else len(chunks)
        if row.numbers is not None and intact < row.n_chunks:
            raise QfidError(
                f"the positions of run `{run.id}` are damaged: {intact} of "
                f"{row.n_chunks} chunks of setting `{row.setting}` are intact",
                f"`qfid resume {run.id}` scores the others again",
            )
        if chunks is not None:
            for positions in chunks.positions():
                yield row.setting, positions
