"""``state.json``: what is worth keeping of a run and may be lost. Pure standard library."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from scorer.common.atomic_files import write_atomic
from scorer.common.errors import InputError
from scorer.common.json_reader import JsonReader
from scorer.common.json_values import OMITTED, OMITTED_IF_NONE, json_values
from scorer.runs.facts import FailureFacts
from scorer.runs.run_files import json_object
from scorer.runs.stored_counts import StoredCounts


@dataclass(slots=True)
class RunState:
    """What ``state.json`` holds.

    Attributes:
        failures: Setting in notation to why it failed.
        complete: Settings that the stored report covers whole.
        counted: What the positions file was found to hold.
        dropped: Setting in notation to why it is scored no further.
        stopped_at: After how many chunks the run stopped, because it was settled; None where it did
            not.
    """

    failures: dict[str, FailureFacts] = field(default_factory=dict)
    complete: list[str] = field(default_factory=list)
    counted: StoredCounts = field(default_factory=StoredCounts)
    dropped: dict[str, str] = field(default_factory=dict, metadata=OMITTED)
    stopped_at: int | None = field(default=None, metadata=OMITTED_IF_NONE)


_READER = JsonReader(RunState, "a run's state", unknown="drop")


def read_state(path: Path) -> RunState:
    """Read a ``state.json``; one that is missing or damaged says nothing."""
    return look_at_state(path)[0]


def look_at_state(path: Path) -> tuple[RunState, bool]:
    """What :func:`read_state` gives, and whether the file could be opened if there is one."""
    try:
        return _READER.read(json_object(path)), True
    except InputError as error:
        return RunState(), not isinstance(error.__cause__, OSError)


def write_state(path: Path, state: RunState) -> None:
    """Replace a ``state.json``.

    Raises:
        QfidError: It cannot be written.
    """
    write_atomic(path, json.dumps(json_values(state), indent=1) + "\n")
