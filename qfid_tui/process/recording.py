"""Recordings: the output of a scorer in a file, with times.

``QFID_RECORD=run.jsonl qfid`` (or ``qfid kv …``) writes a recording; ``qfid_tui.replay`` plays it.
It has one JSON object per line: first the request, then the output lines, last the exit code::

    {"recording": 1, "request": {"model": "demo", …}}
    {"at": 0.41, "event": {"event": "hello", …}}
    {"at": 0.42, "text": "a line that is no event"}
    {"at": 9.87, "exit": 0}

``at`` is in seconds since the start of the child. A recording holds no model and no text, but the
names and paths in the request and the events. Standard library only.
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
    """The output of a child process.

    Attributes:
        lines: Seconds since the start and the output line, including its newline, in order.
        exit_code: Its exit code, negative for a signal; None if the recording is incomplete.
    """

    lines: tuple[tuple[float, bytes], ...]
    exit_code: int | None


class Recorder:
    """Writes a recording while a child runs."""

    def __init__(self, path: str | Path, request: Mapping[str, Any]) -> None:
        """Start a recording; if the file exists, the new one gets a number in its name.

        Args:
            path: The file.
            request: The request to the child.

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
        """Write an output line of the child.

        Raises:
            OSError: The file cannot be written.
        """
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if isinstance(event, dict):
            self._write_timed({"event": event})
        else:
            self._write_timed({"text": line.decode("utf-8", "surrogateescape").removesuffix("\n")})

    def end(self, exit_code: int) -> None:
        """Write the exit code and close the file; a second call does nothing.

        Raises:
            OSError: The file cannot be written.
        """
        if not self._file.closed:
            self._write_timed({"exit": exit_code})
            self._file.close()

    def close(self) -> None:
        """Close the file, without an exit code."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _write_timed(self, values: dict[str, Any]) -> None:
        self._write({"at": round(time.monotonic() - self._start, 4), **values})

    def _write(self, value: dict[str, Any]) -> None:
        self._file.write(_line(value))


def _new_file(path: Path) -> TextIO:
    for number in itertools.count(1):
        chosen = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
        try:
            # Line-buffered, so that a crash loses no line.
            return chosen.open("x", encoding="ascii", buffering=1)
        except FileExistsError:
            continue
    raise AssertionError


def write_recording(
    path: Path, request: Mapping[str, Any], events: Iterable[tuple[float, Mapping[str, Any]]]
) -> None:
    """Write a recording of given events that ends with exit code 0.

    Args:
        path: The file.
        request: The request to the child.
        events: Seconds since the start and the event's JSON values.
    """
    last = 0.0
    with path.open("w", encoding="ascii") as file:
        file.write(_line({"recording": VERSION, "request": dict(request)}))
        for last, event in events:
            file.write(_line({"at": last, "event": event}))
        file.write(_line({"at": last, "exit": 0}))


def read_recording(path: str | Path) -> Recording:
    """Read a recording; an incomplete last line is ignored.

    Raises:
        InputError: The file cannot be read, or is not a recording.
    """
    try:
        content = Path(path).expanduser().read_bytes().splitlines()
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"the recording `{path}` cannot be read: {reason}") from error
    head = _object(content[0]) if content else {}
    if head.get("recording") != VERSION:
        raise InputError(f"`{path}` is no recording", "QFID_RECORD=FILE qfid makes one")
    lines: list[tuple[float, bytes]] = []
    exit_code = None
    for number, line in enumerate(content[1:], 2):
        value = _object(line)
        at = value.get("at")
        if not isinstance(at, int | float):
            if number == len(content):
                break
            raise InputError(f"line {number} of the recording `{path}` cannot be read")
        if isinstance(value.get("event"), dict):
            lines.append((at, json.dumps(value["event"], separators=(",", ":")).encode() + b"\n"))
        elif isinstance(value.get("text"), str):
            lines.append((at, value["text"].encode("utf-8", "surrogateescape") + b"\n"))
        elif isinstance(value.get("exit"), int):
            exit_code = value["exit"]
    return Recording(tuple(lines), exit_code)


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":")) + "\n"


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
