"""Several runs side by side in one of the formats that hold them. Standard library but for HTML."""

from __future__ import annotations

import json
from typing import Any

from scorer.common import json_schema
from scorer.report.joined import JOINED_SCHEMA, JoinedReport


def joined_text(format: str, report: JoinedReport) -> str:
    """The joined report as text.

    Args:
        format: ``md``, ``html``, ``json`` or ``csv``.
        report: The report.
    """
    if format == "json":
        return json.dumps(report.to_json(), indent=2, allow_nan=False) + "\n"
    if format == "csv":
        from scorer.report.formats.joined_csv import to_joined_csv

        return to_joined_csv(report)
    if format == "html":
        from scorer.report.formats.joined_html import to_joined_html

        return to_joined_html(report)
    from scorer.report.formats.joined_markdown import to_joined_markdown

    return to_joined_markdown(report)


def joined_schema() -> dict[str, Any]:
    """The JSON Schema of a joined report, draft 2020-12."""
    return json_schema.schema_of(
        JoinedReport, "joined", JOINED_SCHEMA, "A joined report of qfid", "joined"
    )


def joined_schema_text() -> str:
    """The schema as JSON text: indented, ASCII, newline at the end."""
    return json_schema.schema_text(joined_schema())
