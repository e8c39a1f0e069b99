"""What the rows of a report may be compared with: conditions of its run, a key of each row.

Pure standard library.
"""

from __future__ import annotations

from dataclasses import replace

from scorer.report.setting_row import SettingRow
from scorer.report.tree import Report
from scorer.runs.comparability import ComparabilityKey
from scorer.runs.identity import Identity


def with_row_keys(report: Report, conditions: Identity) -> Report:
    """The report with the conditions of its run and the key of each row.

    Args:
        report: The report.
        conditions: Those of its run, see :func:`scorer.runs.comparability.run_conditions`.
    """
    rows = tuple(
        replace(row, comparability_key=key_of(report, row, conditions).digest)
        for row in report.settings
    )
    return replace(report, settings=rows, run=replace(report.run, conditions=dict(conditions)))


def key_of(
    report: Report, row: SettingRow, conditions: Identity | None, run: str = ""
) -> ComparabilityKey:
    """What a row may be compared with.

    Args:
        report: The row's report.
        row: The row.
        conditions: Those of the run; None where they are not known.
        run: Id of the run.
    """
    chunks = frozenset(report.chunks_of(row))
    return ComparabilityKey(run, conditions, row.quantize_start, row.path, chunks)
