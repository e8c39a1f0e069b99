"""The JSON Schema of ``report.json``, of ``--format json`` and of :meth:`Report.to_json`.

A report of any version with the same number in ``schema`` is valid against it. Later versions may
add keys under that number; the number is raised where a key goes or gets another meaning. Pure
standard library.
"""

from __future__ import annotations

from typing import Any

from scorer.common import json_schema
from scorer.report.setting_row import SettingRow
from scorer.report.tree import Report
from scorer.runs.facts import REPORT_SCHEMA


def report_schema() -> dict[str, Any]:
    """The schema as JSON values, draft 2020-12.

    With one setting the keys of that setting stand at the top level too.
    """
    found = json_schema.schema_of(Report, "report", REPORT_SCHEMA, "A report of qfid")
    parts = found.pop("$defs")
    return found | {
        "if": {"properties": {"settings": {"minItems": 1, "maxItems": 1}}},
        "then": {"$ref": f"#/$defs/{SettingRow.__name__}"},
        "$defs": parts,
    }


def schema_text() -> str:
    """The schema as JSON text: indented, ASCII, newline at the end."""
    return json_schema.schema_text(report_schema())
