"""The reader of the scorer's events under fire, and what the progress line makes of them."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from event_strategies import KINDS, events
from fuzz_inputs import ACTS, FuzzCase, harmed_bytes, harmed_json, hostile_value
from hypothesis import strategies as st

from qfid_tui.cli.progress_display import ProgressBar, ProgressLines
from scorer.spec.events import Event, parse_line


def line_check(folder: Path, line: bytes) -> None:
    event = parse_line(line)
    assert event is None or (isinstance(event, Event) and parse_line(event.to_line()) is not None)


def object_check(folder: Path, values: Any) -> None:
    line_check(folder, json.dumps(values).encode())


def stream_check(folder: Path, lines: list[Any]) -> None:
    """A progress display takes any events in any order, and shows nothing that acts."""
    found = [event for line in lines if (event := parse_line(json.dumps(line))) is not None]
    for display in (ProgressLines, ProgressBar):
        shown = io.StringIO()
        with redirect_stderr(shown):
            progress = display()
            for event in found:
                progress.add(event)
            progress.clear()
        text = shown.getvalue().replace("\r", "").replace("\x1b[J", "").replace("\x1b[1A", "")
        assert not ACTS.search(text.replace("\n", "")), ascii(text)


made = events.map(lambda event: json.loads(event.to_line()))
named = st.fixed_dictionaries({"event": st.sampled_from([kind.kind for kind in KINDS])})

CASES = [
    FuzzCase("event: bytes of a line",
             harmed_bytes(events.map(lambda event: event.to_line().encode())) | st.binary(),
             line_check),
    FuzzCase("event: values of a line", harmed_json(made) | hostile_value | named, object_check),
    FuzzCase("event: streams", st.lists(made | harmed_json(made), max_size=6), stream_check),
]  # fmt: skip
