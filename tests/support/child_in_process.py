"""What the scorer's child process answers, computed in this process.

For what a child says; how it starts, is interrupted and ends needs a process
(:mod:`scorer_child`).
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any
from unittest import mock

import mlx_lm  # noqa: F401  (whole: a child imports it without transformers)

from scorer.child import process
from scorer.spec.events import Event, parse_line


def answered(request: dict[str, Any] | bytes) -> tuple[list[Event], int]:
    """Events and exit code of :func:`scorer.child.process.run_child`."""
    line = request if isinstance(request, bytes) else json.dumps(request).encode()
    given, written = io.TextIOWrapper(io.BytesIO(line + b"\n")), io.StringIO()
    with (
        mock.patch.object(sys, "stdin", given),
        # What a child does to its own process.
        mock.patch.object(process, "forbid_to_libraries"),
        mock.patch.object(process, "die_with_parent"),
        mock.patch.object(process, "exit_at_end_of_input"),
        mock.patch.object(process.Ending, "listen"),
    ):
        code = process.run_child(written, [])
    events = [parse_line(line.encode()) for line in written.getvalue().splitlines()]
    assert None not in events, written.getvalue()
    return [event for event in events if event is not None], code
