"""A run's event stream in a file: what the scorer said, and when.

``QFID_RECORD=run.jsonl qfid`` (or ``qfid kv …``) writes one; ``qfid_tui.replay`` plays it.
One JSON object a line: the request first, then what was said, the exit code last::

    {"recording": 1, "request": {"model": "demo", …}}
    {"at": 0.41, "event": {"event": "hello", …}}
    {"at": 0.42, "text": "a line that is no event"}
    {"at": 9.87, "exit": 0}

``at`` is in seconds since the child was started. A recording holds no model and no text, but it
does hold the names and paths that the request and the events name. Pure standard library.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from scorer.common.errors import InputError, QfidError

VERSION = 1


@dataclass(frozen=True, slots=True)
class Recording:
    """What a child said.

    Attributes:
        said: Seconds since its start and the line, newline included, in order.
        exit_code: Its exit code, negative for a signal; None where the recording was cut off.
    """

    said: tuple[tuple[float, bytes], ...]
    exit_code: int | None


class Recorder:
    """Writes a recording while a child speaks."""

    def __init__(self, path: str | Path, request: Mapping[str, Any]) -> None:
        """Begin a recording; a file that is there stays, the new one gets a number.

        Args:
            path: The file.
            request: What the child is asked.

        Raises:
            QfidError: The file cannot be written.
        """
        self._start = time.monotonic()
        try:
            self._file = _new_file(Path(path).expanduser())
        except (OSError, RuntimeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise QfidError(
                f"the recording `{path}` cannot be written: {reason}", "see QFID_RECORD"
            ) from error
        self._write({"recording": VERSION, "request": dict(request)})

    def line(self, line: bytes) -> None:
        """Keep a line that the child said.

        Raises:
            OSError: The disk refuses.
        """
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if isinstance(event, dict):
            self._at({"event": event})
        else:
            self._at({"text": line.decode("utf-8", "surrogateescape").removesuffix("\n")})

    def end(self, exit_code: int) -> None:
        """Keep how it ended, and close the file; a second time does nothing.

        Raises:
            OSError: The disk refuses.
        """
        if not self._file.closed:
            self._at({"exit": exit_code})
            self._file.close()

    def close(self) -> None:
        """Close the file with what it holds."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _at(self, what: dict[str, Any]) -> None:
        self._write({"at": round(time.monotonic() - self._start, 4), **what})

    def _write(self, value: dict[str, Any]) -> None:
        self._file.write(_line(value))


def _new_file(path: Path) -> TextIO:
    for number in itertools.count(1):
        chosen = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
        try:
            # Line by line: what was said before a crash is there after it.
            return chosen.open("x", encoding="ascii", buffering=1)
        except FileExistsError:
            continue
    raise AssertionError


def write_recording(
    path: Path, request: Mapping[str, Any], events: Iterable[tuple[float, Mapping[str, Any]]]
) -> None:
    """Write a recording of events that were made up, which ends well.

    Args:
        path: The file.
        request: What the child was asked.
        events: Seconds since the start and the event's JSON values.
    """
    last = 0.0
    with path.open("w", encoding="ascii") as file:
        file.write(_line({"recording": VERSION, "request": dict(request)}))
        for last, event in events:
            file.write(_line({"at": last, "event": event}))
        file.write(_line({"at": last, "exit": 0}))


def read_recording(path: str | Path) -> Recording:
    """Read a recording; one that was cut off is read as far as it goes.

    Raises:
        InputError: The file cannot be read, or is no recording.
    """
    try:
        lines = Path(path).expanduser().read_bytes().splitlines()
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"the recording `{path}` cannot be read: {reason}") from error
    head = _object(lines[0]) if lines else {}
    if head.get("recording") != VERSION:
        raise InputError(f"`{path}` is no recording", "QFID_RECORD=FILE qfid makes one")
    said: list[tuple[float, bytes]] = []
    exit_code = None
    for number, line in enumerate(lines[1:], 2):
        value = _object(line)
        at = value.get("at")
        if not isinstance(at, int | float):
            if number == len(lines):
                break
            raise InputError(f"line {number} of the recording `{path}` cannot be read")
        if isinstance(value.get("event"), dict):
            said.append((at, json.dumps(value["event"], separators=(",", ":")).encode() + b"\n"))
        elif isinstance(value.get("text"), str):
            said.append((at, value["text"].encode("utf-8", "surrogateescape") + b"\n"))
        elif isinstance(value.get("exit"), int):
            exit_code = value["exit"]
    return Recording(tuple(said), exit_code)


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":")) + "\n"


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
