"""The JSON Schema of ``report.json``, of ``--format json`` and of :meth:`Report.to_json`.

A report of any version with the same number in ``schema`` is valid against it. Later versions may
add keys under that number; the number is raised where a key goes or gets another meaning. Pure
standard library.
"""

from __future__ import annotations

import json
from typing import Any

from scorer._version import __version__
from scorer.common.json_schema import DIALECT, definitions
from scorer.report.setting_row import SettingRow
from scorer.report.tree import Report
from scorer.runs.facts import REPORT_SCHEMA


def report_schema() -> dict[str, Any]:
    """The schema as JSON values, draft 2020-12.

    With one setting the keys of that setting stand at the top level too.
    """
    found = definitions(Report)
    found[Report.__name__]["properties"]["schema"]["const"] = REPORT_SCHEMA
    return {
        "$schema": DIALECT,
        "$id": f"urn:qfid:report:{REPORT_SCHEMA}",
        "$comment": f"made by qfid {__version__}",
        "title": f"A report of qfid, schema {REPORT_SCHEMA}",
        "$ref": f"#/$defs/{Report.__name__}",
        "if": {"properties": {"settings": {"minItems": 1, "maxItems": 1}}},
        "then": {"$ref": f"#/$defs/{SettingRow.__name__}"},
        "$defs": found,
    }


def schema_text() -> str:
    """The schema as JSON text: indented, ASCII, newline at the end."""
    return json.dumps(report_schema(), indent=2) + "\n"
