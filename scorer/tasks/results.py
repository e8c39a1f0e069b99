"""The folder of the results of some tasks on a model: what is scored, kept as it is scored.

``job.json`` says what was asked and under which identity; ``scores.jsonl`` holds a line for every
batch under a setting, with a checksum, and is the source of the rest; ``report.json``,
``report.md`` and ``items.csv`` are made of it. The name of the folder follows from the identity:
the same question finds its own results again. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scorer.common.atomic_files import storage_error, write_all, write_atomic
from scorer.common.errors import InputError
from scorer.common.folders import tasks_folder
from scorer.runs.identity import Identity, identity_hash
from scorer.runs.run_lock import RunLock
from scorer.spec.tasks_job import TasksJob
from scorer.tasks.report import TasksReport

JOB, SCORES, REPORT, ITEMS = "job.json", "scores.jsonl", "report.json", "items.csv"
REFERENCE = "reference"
"""The name under which the full-precision model's scores are kept."""
SCORES_FORM = 1
"""To be raised where the file of scores has another form: it is part of the identity."""
Kept = tuple[float, bool]
"""Log-likelihood, nats, and whether every token is the likeliest."""
_HASH = 12
_SYNC_SECONDS = 1.0


class Results:
    """The results of some tasks, locked for this process while the context is open.

    Attributes:
        path: The folder.
        scores: By setting, by number of the request.
    """

    def __init__(self, model: str, identity: Identity) -> None:
        """Name the folder; nothing is read or made yet.

        Args:
            model: Name of the model.
            identity: Everything that a score depends on but the settings.
        """
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", model.rpartition("/")[2]).strip("-.")[:40] or "model"
        self.path = tasks_folder() / f"{slug.lower()}-{identity_hash(identity)[:_HASH]}"
        self.identity = identity
        self.scores: dict[str, dict[int, Kept]] = {}
        self._descriptor = -1
        self._synced = 0.0
        self._lock = RunLock(self.path)

    @property
    def id(self) -> str:
        """Name of the folder."""
        return self.path.name

    def __enter__(self) -> Results:
        """Make the folder or open it, and read what is scored.

        Raises:
            InputError: Another process writes to it, or it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, self.path) from error
        self._lock.acquire()
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            with contextlib.suppress(OSError):
                os.fsync(self._descriptor)
            os.close(self._descriptor)
        finally:
            self._lock.release()

    def _open(self) -> None:
        path = self.path / SCORES
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(path, flags, 0o666)
            end = 0
            for found, stop in _lines(path.read_bytes()):
                end = stop
                self._take(found)
            # A process that was killed leaves a part of a line.
            os.ftruncate(self._descriptor, end)
        except OSError as error:
            raise storage_error(error, path) from error

    def _take(self, found: Mapping[str, Any]) -> None:
        first = found["first"]
        for name, key in ((REFERENCE, "reference"), (found["setting"], "scores")):
            of_setting = self.scores.setdefault(name, {})
            for number, (value, greedy) in enumerate(found[key], start=first):
                of_setting.setdefault(number, (float(value), bool(greedy)))

    def begin(self, job: TasksJob) -> None:
        """Note what is asked."""
        values = {"job": job.to_json(), "identity": dict(self.identity)}
        write_atomic(self.path / JOB, json.dumps(values, indent=1) + "\n")

    def add(
        self, setting: str, first: int, reference: Sequence[Kept], scores: Sequence[Kept]
    ) -> None:
        """Keep a setting's scores of consecutive requests, whatever becomes of this process.

        A machine that loses its power loses at most the last second.

        Raises:
            QfidError: They cannot be stored.
        """
        found = {
            "setting": setting,
            "first": first,
            "reference": [list(each) for each in reference],
            "scores": [list(each) for each in scores],
        }
        text = json.dumps(found, separators=(",", ":"))
        line = f"{zlib.crc32(text.encode()):08x} {text}\n"
        try:
            write_all(self._descriptor, line.encode())
            if (now := time.monotonic()) - self._synced >= _SYNC_SECONDS:
                os.fsync(self._descriptor)
                self._synced = now
        except OSError as error:
            raise storage_error(error, self.path / SCORES) from error
        self._take(found)

    def save(self, report: TasksReport, markdown: str, items: str) -> None:
        """Store the report, as values, text and item by item."""
        write_atomic(self.path / ITEMS, items)
        write_atomic(self.path / "report.md", markdown)
        write_atomic(self.path / REPORT, json.dumps(report.to_json(), indent=1) + "\n")


def read_items(results: str) -> str:
    """Every answer of saved results, as CSV.

    Raises:
        QfidError: They cannot be read.
    """
    path = tasks_folder() / results / ITEMS
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise storage_error(error, path) from error


def _lines(data: bytes) -> Iterator[tuple[dict[str, Any], int]]:
    """The whole lines of a file, each with where it ends; up to the first that is damaged."""
    end = 0
    for line in data.splitlines(keepends=True):
        end += len(line)
        checksum, _, text = line.rstrip(b"\n").partition(b" ")
        if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
            return
        yield json.loads(text), end


def saved_reports() -> list[tuple[Path, TasksReport]]:
    """Every finished report of tasks on this machine with its folder, newest first.

    Those that cannot be read are left out.
    """
    found: list[tuple[float, Path, TasksReport]] = []
    with contextlib.suppress(OSError, InputError):
        for folder in tasks_folder().iterdir():
            with contextlib.suppress(OSError, ValueError, InputError, RecursionError):
                file = folder / REPORT
                report = TasksReport.from_json(json.loads(file.read_text("utf-8")))
                found.append((file.stat().st_mtime, folder, report))
    return [(path, report) for _, path, report in sorted(found, key=lambda each: -each[0])]
