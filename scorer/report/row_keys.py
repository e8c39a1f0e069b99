"""What the rows of a report may be compared with: conditions of its run, a key of each row.

Pure standard library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from scorer.report.setting_row import SettingRow
from scorer.report.tree import Report
from scorer.runs.comparability import ComparabilityKey, fingerprint_digest
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
    return ComparabilityKey(
        run,
        conditions,
        row.quantize_start,
        row.path,
        chunks,
        row.setting,
        row.setting_fingerprint,
    )


def with_fingerprints(report: Report, fingerprints: Mapping[str, Identity]) -> Report:
    """The report with what its settings' own weights resolved to.

    Args:
        report: The report.
        fingerprints: Setting in notation to its fingerprint, as its run has stored it.
    """
    rows = tuple(
        replace(row, setting_fingerprint=fingerprint_digest(fingerprints.get(row.setting, {})))
        for row in report.settings
    )
    return report if rows == report.settings else replace(report, settings=rows)
