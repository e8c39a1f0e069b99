"""The report as JSON text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def report_text(report: Mapping[str, Any]) -> str:
    """The report as JSON text: indented, ASCII, newline at the end."""
    return json.dumps(report, indent=2, allow_nan=False) + "\n"
