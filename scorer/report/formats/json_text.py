"""The report as JSON text. Pure standard library."""

from __future__ import annotations

import json

from scorer.report.tree import Report


def report_text(report: Report) -> str:
    """The report as JSON text: indented, ASCII, newline at the end."""
    return json.dumps(report.to_json(), indent=2, allow_nan=False) + "\n"
