"""One comparison of settings of a model: what a run's events add up to.

A plain model without a terminal: events change it, screens paint from it. Pure standard library.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from qfid_tui.state.progress import Clock, RunProgress
from qfid_tui.state.setting_results import Figures, SettingResult
from scorer.common.errors import InputError
from scorer.spec.events import (
    ChunkScored,
    Event,
    Failed,
    Finished,
    Hello,
    Loading,
    Planned,
    Progress,
    SettingFailedEvent,
    Warned,
)
from scorer.spec.job import Job

if TYPE_CHECKING:
    from scorer.report.tree import Report

Phase = Literal["idle", "starting", "scoring", "stopping", "stopped", "finished", "failed"]
ACTIVE: tuple[Phase, ...] = ("starting", "scoring", "stopping")
_WARNINGS = 20
_INTERRUPTED = 130


class Comparison:
    """Settings of one model on one text, scored or being scored.

    Attributes:
        job: What was asked, the settings of earlier parts of the run included; None before.
        run: Id of the saved run; None before it has one.
        phase: ``idle`` before the first run; ``stopped`` when ended by the user, ``failed`` by
            an error; both can go on where there is a run.
        step: The step before scoring that goes on; None before the first and after the last.
        machine: What the scorer said of its device; None before.
        arithmetic: What computes, as a line.
        settings: Results by notation, in the order of the report.
        documents: Chunk to the document of its first token; empty while not known.
        progress: How far the run is, how fast.
        memory: Bytes in use by the scorer at its last word; 0 for unknown.
        warnings: What it warned of, newest last: message and hint.
        failure: The last event of a run that failed.
        report: Report of the run; None while it goes on, and where it cannot be read.
        kv_bytes: Bytes per token by notation, as the model was built; 16 bit under ``""``.
        version: Counts changes, so that a painter knows whether anything is new.
        planned_chunks: Chunks of the run; 0 before it is planned.
        text_chunks: Chunks of the whole text; 0 where that is not known.
    """

    def __init__(self, job: Job | None = None, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self.job = job
        self.run: str | None = None
        self.phase: Phase = "idle"
        self.step: Loading | None = None
        self.machine: Hello | None = None
        self.arithmetic = ""
        self.settings: dict[str, SettingResult] = {}
        self.documents: dict[int, int | None] = {}
        self.progress = RunProgress(clock)
        self.memory = 0
        self.warnings: deque[tuple[str, str]] = deque(maxlen=_WARNINGS)
        self.failure: Failed | None = None
        self.report: Report | None = None
        self.kv_bytes: dict[str, float] = {}
        self.version = 0
        self.planned_chunks = self.text_chunks = 0

    @property
    def is_active(self) -> bool:
        """Whether a child works on it."""
        return self.phase in ACTIVE

    def begin(self, job: Job) -> None:
        """A child was started for ``job``, whose settings come beside those already here."""
        known = () if self.job is None else self.job.settings
        settings = tuple(dict.fromkeys((*known, *job.settings)))
        self.job = dataclasses.replace(job, settings=settings)
        for setting in settings:
            self._setting(str(setting))
        self.phase, self.step = "starting", None
        self.progress = RunProgress(self._clock)
        self.failure, self.memory = None, 0
        self.version += 1

    def open(self, run: str, chunks: int) -> None:
        """It is a saved run's, of so many chunks."""
        self.run, self.planned_chunks = run, chunks

    def add(self, event: Event) -> None:
        """Take in one event of the child."""
        self.version += 1
        self.progress.add(event)
        if isinstance(event, ChunkScored):
            self.learn(event)
        elif isinstance(event, Progress):
            self.memory = event.memory or self.memory
        elif isinstance(event, Hello):
            self.machine = event
        elif isinstance(event, Loading):
            self.step = event
        elif isinstance(event, Planned):
            self._plan(event)
        elif isinstance(event, Warned):
            self.warnings.append((event.message, event.hint))
        elif isinstance(event, SettingFailedEvent):
            self._fail_setting(event)
        elif isinstance(event, Finished):
            self._finish(event)
        elif isinstance(event, Failed):
            self.failure = event
            self.run = event.run or self.run

    def learn(self, *chunks: ChunkScored) -> None:
        """Take in scored chunks, of this part of the run or of an earlier one."""
        self.version += 1
        for event in chunks:
            self._setting(event.setting).add(event)

    def know_documents(self, documents: Mapping[int, int | None]) -> None:
        """Learn which document each chunk begins in: intervals take documents as their units."""
        self.documents.update(documents)
        for result in self.settings.values():
            result.regroup()
        self.version += 1

    def _setting(self, name: str) -> SettingResult:
        if name not in self.settings:
            self.settings[name] = SettingResult(name, self.documents)
        return self.settings[name]

    def _plan(self, event: Planned) -> None:
        self.run = event.run
        self.planned_chunks, self.text_chunks = len(event.chunks), event.text_chunks
        self.arithmetic = event.arithmetic
        self.kv_bytes = {**event.kv_bytes_per_token, "": event.kv_bytes_per_token_16bit}
        for name in event.settings:
            self._setting(name).reopen()
        if self.phase != "stopping":
            self.phase = "scoring"
        self.report, self.step = None, None

    def _fail_setting(self, event: SettingFailedEvent) -> None:
        result = self._setting(event.setting)
        result.failure = f"{event.message}; {event.hint}" if event.hint else event.message

    def _finish(self, event: Finished) -> None:
        from scorer.report.tree import Report

        with contextlib.suppress(InputError):
            self.take_report(Report.from_json(event.report))
        self.phase = "finished" if event.complete else "stopped"

    def take_report(self, report: Report) -> None:
        """Take the numbers of a report: those of a run that is over."""
        self.version += 1
        self.report = report
        if report.run.corpus.total_chunks is not None:
            self.text_chunks = report.run.corpus.total_chunks
        for row in report.settings:
            self._setting(row.setting).finish(row)
            if row.kv_bytes_per_token is not None:
                self.kv_bytes[row.setting] = row.kv_bytes_per_token
                self.kv_bytes[""] = row.kv_bytes_per_token_16bit

    def stop(self) -> None:
        """The user asked the child to stop."""
        self.phase = "stopping"
        self.version += 1

    def end(self, *, by_user: bool) -> None:
        """The child is gone; without a last event of its own it was stopped or it broke."""
        if self.is_active:
            stopped = by_user if self.failure is None else self.failure.exit_code == _INTERRUPTED
            self.phase = "stopped" if stopped else "failed"
        self.version += 1

    @property
    def complete(self) -> int:
        """Chunks that every setting still alive is scored on."""
        alive = [len(r.chunks) for r in self.settings.values() if r.failure is None]
        return min(alive, default=0)

    @property
    def fraction(self) -> float:
        """Share of the run that is scored, the current batch in part; 0 to 1."""
        if self.is_active:
            return self.progress.fraction
        return self.complete / self.planned_chunks if self.planned_chunks else 0.0

    @property
    def lacks(self) -> bool:
        """Whether the run has saved chunks that are not known here."""
        done = {} if self.progress.planned is None else self.progress.planned.done
        return any(len(self.settings[name].chunks) < n for name, n in done.items())

    @property
    def saved(self) -> int:
        """Scored (setting, chunk) pairs known here."""
        return sum(len(result.chunks) for result in self.settings.values())

    def figures(self, setting: str) -> Figures | None:
        """Numbers of a setting; None where it has none."""
        result = self.settings.get(setting)
        return None if result is None else result.figures

    def is_scored(self, setting: str) -> bool:
        """Whether nothing of a setting is missing."""
        result = self.settings.get(setting)
        if result is None or result.failure is not None or not result.chunks:
            return False
        return self.phase == "finished" or len(result.chunks) == self.planned_chunks > 0

    def cheapest_good(self) -> tuple[str, Figures] | None:
        """The good setting with the fewest bytes per token so far, settled before open ones."""
        found = [
            (figures.is_open, self.kv_bytes.get(name, 0.0), name, figures)
            for name, result in self.settings.items()
            if (figures := result.figures) is not None and figures.verdict == "good"
        ]
        if not found:
            return None
        _, _, name, figures = min(found, key=lambda item: item[:3])
        return name, figures
