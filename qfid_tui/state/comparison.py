"""A comparison of settings of one model, built from the events of a run.

Events change it; the state of the workbench refers to it by its version. Pure standard library.
"""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Literal

from qfid_tui.process.scorer_fault import scorer_fault
from qfid_tui.state.app_hints import in_app
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
    Looked,
    Planned,
    Progress,
    SettingDropped,
    SettingFailedEvent,
    Warned,
)
from scorer.spec.job import Job
from scorer.spec.settings.weights import WeightsSetting
from scorer.spec.thresholds import WEIGHTS

if TYPE_CHECKING:
    from scorer.report.tree import Report
    from scorer.runs.comparability import ComparabilityKey
    from scorer.runs.identity import Identity

Phase = Literal["idle", "starting", "scoring", "stopping", "stopped", "finished", "failed"]
ACTIVE: tuple[Phase, ...] = ("starting", "scoring", "stopping")
_WARNINGS = 20
_INTERRUPTED = 130


class Comparison:
    """Settings of one model on one text, scored or being scored.

    Attributes:
        job: The job, with the settings of earlier parts of the run; None before the first run.
        run: Id of the saved run; None before the run is planned.
        phase: ``idle`` before the first run; ``stopped`` if the user ended it, ``failed`` if an
            error did; both can be resumed if there is a saved run.
        step: The step before scoring that is running; None before the first and after the last.
        machine: The device, as the scorer described it; None before.
        arithmetic: Device, dtype and library that compute, in one line.
        settings: Results by notation, in the order of the report.
        documents: Chunk to the document of its first token; empty until it is known.
        equal_chunks: Chunk to an earlier one of the same tokens; such a chunk counts in no
            statistic.
        conditions: What the figures of all its settings depend on; None where that is not known,
            see :func:`scorer.runs.comparability.run_conditions`.
        progress: Progress and speed of the run.
        memory: Bytes that the scorer last reported in use; 0 if unknown.
        warnings: Its warnings, newest last: message and hint.
        failure: The last event of a run that failed.
        report: Report of the run; None before its end, or if it cannot be read.
        kv_bytes: Bytes per token by notation; those of the 16-bit cache under ``""``.
        version: Number of changes.
        planned_chunks: Chunks of the run; 0 before it is planned.
        text_chunks: Chunks of the whole text; 0 if unknown.
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
        self.equal_chunks: dict[int, int] = {}
        self._places: dict[int, int] = {}
        self._chunks: tuple[int, ...] = ()
        self.conditions: Identity | None = None
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
        """Whether a child process is scoring it."""
        return self.phase in ACTIVE

    def begin(self, job: Job) -> None:
        """Start a run of ``job``; its settings are added to the known ones."""
        known = () if self.job is None else self.job.settings
        adds_chunks = self.job is not None and self.job.max_chunks != job.max_chunks
        settings = tuple(dict.fromkeys((*known, *job.settings)))
        self.job = dataclasses.replace(job, settings=settings)
        for setting in settings:
            self._setting(setting.key)
        for result in self.settings.values():
            result.judge_by(self.job.thresholds)
        self.phase, self.step = "starting", None
        self.progress = RunProgress(self._clock)
        self.progress.earlier = self.planned_chunks if adds_chunks else 0
        self.failure, self.memory = None, 0
        self.version += 1

    def open(self, run: str, chunks: Collection[int], conditions: Identity | None = None) -> None:
        """Refer to a saved run.

        Args:
            run: Its id.
            chunks: Indices of its chunks, in the order in which they are scored.
            conditions: What the figures of its settings depend on; None where not known.
        """
        self.run, self.conditions = run, conditions
        self._chunks = tuple(chunks)
        self._set_chunks(chunks)

    def _set_chunks(self, chunks: Collection[int]) -> None:
        self.planned_chunks = len(chunks)
        self._places.clear()
        self._places.update((chunk, place) for place, chunk in enumerate(sorted(chunks)))
        for result in self.settings.values():
            result.replan()

    def add(self, event: Event) -> None:
        """Apply one event of the child process."""
        self.version += 1
        self.progress.add(event)
        if isinstance(event, ChunkScored):
            self.add_chunks(event)
        elif isinstance(event, Progress):
            self.memory = event.memory or self.memory
        elif isinstance(event, Hello):
            self.machine = event
        elif isinstance(event, Loading):
            self.step = event
        elif isinstance(event, Planned):
            self._plan(event)
        elif isinstance(event, Warned):
            self.warnings.append((event.message, in_app(event.hint)))
        elif isinstance(event, SettingFailedEvent):
            self._fail_setting(event)
        elif isinstance(event, SettingDropped):
            self._setting(event.setting).dropped = event.reason
        elif isinstance(event, Looked):
            for name, ends in event.intervals.items():
                self._setting(name).take_look(ends)
        elif isinstance(event, Finished):
            self._finish(event)
        elif isinstance(event, Failed):
            self.failure = event
            self.run = event.run or self.run

    def add_chunks(self, *chunks: ChunkScored) -> None:
        """Add scored chunks, of this part of the run or of an earlier one."""
        self.version += 1
        for event in chunks:
            self._setting(event.setting).add(event)

    def set_documents(self, documents: Mapping[int, int | None]) -> None:
        """Set the document that each chunk begins in: intervals count documents as units."""
        self.documents.update(documents)
        for result in self.settings.values():
            result.regroup()
        self.version += 1

    def set_equal_chunks(self, equal: Mapping[int, int]) -> None:
        """Set which chunks repeat the tokens of another: they count once."""
        if equal != self.equal_chunks:
            self.equal_chunks.update(equal)
            for result in self.settings.values():
                result.regroup()
            self.version += 1

    def _setting(self, name: str) -> SettingResult:
        if name not in self.settings:
            self.settings[name] = self._new(name)
            if self.compares_weights:
                # One table is judged by one measure.
                for result in self.settings.values():
                    result.judge_by(WEIGHTS)
        return self.settings[name]

    @property
    def compares_weights(self) -> bool:
        """Whether a setting has weights of its own: then KV bytes alone rank nothing."""
        return any(isinstance(r.setting, WeightsSetting) for r in self.settings.values())

    def _new(self, name: str) -> SettingResult:
        return SettingResult(name, self.documents, self.equal_chunks, self._places)

    def _plan(self, event: Planned) -> None:
        self.run = event.run
        self.text_chunks = event.text_chunks
        self._chunks = tuple(event.chunks)
        self._set_chunks(event.chunks)
        self.arithmetic = event.arithmetic
        self.set_equal_chunks(event.equal_chunks)
        self.conditions = event.conditions or None
        self.kv_bytes = {**event.kv_bytes_per_token, "": event.kv_bytes_per_token_16bit}
        for name in event.settings:
            known = self._setting(name).chunks
            if len(set(known).intersection(event.chunks)) > event.done.get(name, 0):
                # The file of the run was deleted: its chunks are scored again.
                self.settings[name] = self._new(name)
            self._setting(name).reopen()
            self._setting(name).take_look({} if event.looks else None)
        if self.phase != "stopping":
            self.phase = "scoring"
        self.report, self.step = None, None

    def _fail_setting(self, event: SettingFailedEvent) -> None:
        result = self._setting(event.setting)
        result.failure = f"{event.message}; {in_app(event.hint)}" if event.hint else event.message

    def _finish(self, event: Finished) -> None:
        from scorer.report.tree import Report

        try:
            self.take_report(Report.from_json(event.report))
        except InputError as error:
            self.fail(f"the report of the scorer cannot be read: {error.message}")
            return
        self.phase = "finished" if event.complete else "stopped"

    def fail(self, why: str) -> None:
        """Note that the run has failed because of what the scorer sent."""
        self.failure = scorer_fault(why, self.run)
        self.phase = "failed"
        self.version += 1

    def take_report(self, report: Report) -> None:
        """Take the final numbers from the report of a run."""
        self.version += 1
        self.report = report
        if report.run.corpus.total_chunks is not None:
            self.text_chunks = report.run.corpus.total_chunks
        if report.stopping is not None and report.stopping.stopped:
            # A run that has stopped is to score no more.
            self._set_chunks(self._chunks[: report.stopping.n_chunks])
        for row in report.settings:
            self._setting(row.setting).finish(row)
            if row.kv_bytes_per_token is not None:
                self.kv_bytes[row.setting] = row.kv_bytes_per_token
                self.kv_bytes[""] = row.kv_bytes_per_token_16bit

    def stop(self) -> None:
        """Note that the user asked the child process to stop."""
        self.phase = "stopping"
        self.version += 1

    def end(self, *, by_user: bool) -> None:
        """Note that the child process has ended.

        Args:
            by_user: Whether the user ended it; False if it failed.
        """
        if self.is_active:
            stopped = by_user if self.failure is None else self.failure.exit_code == _INTERRUPTED
            self.phase = "stopped" if stopped else "failed"
        self.version += 1

    @property
    def complete(self) -> int:
        """Chunks on which every setting has been scored, failed and dropped settings left out."""
        return min((len(r.chunks) for r in self._alive), default=0)

    @property
    def most_chunks(self) -> int:
        """Chunks on which some setting has been scored, failed and dropped settings left out."""
        return max((len(r.chunks) for r in self._alive), default=0)

    @property
    def _alive(self) -> list[SettingResult]:
        return [
            result
            for result in self.settings.values()
            if result.failure is None and not result.dropped
        ]

    @property
    def fraction(self) -> float:
        """Scored share of the run, with a part of the current batch; 0 to 1."""
        if self.is_active:
            return self.progress.fraction
        planned = self.planned_in_all
        return min(1.0, self.saved / planned) if planned else 0.0

    @property
    def planned_in_all(self) -> int:
        """Planned (setting, chunk) pairs, those left out that failed and dropped settings lack."""
        given_up = [r for r in self.settings.values() if r.failure is not None or r.dropped]
        alive = len(self.settings) - len(given_up)
        return alive * self.planned_chunks + sum(len(result.chunks) for result in given_up)

    @property
    def lacks(self) -> bool:
        """Whether the run has saved chunks that no event has reported."""
        done = {} if self.progress.planned is None else self.progress.planned.done
        return any(len(self.settings[name].chunks) < n for name, n in done.items())

    @property
    def saved(self) -> int:
        """Number of scored (setting, chunk) pairs."""
        return sum(len(result.chunks) for result in self.settings.values())

    def figures(self, setting: str) -> Figures | None:
        """Numbers of a setting; None before its first chunk."""
        result = self.settings.get(setting)
        return None if result is None else result.figures

    def is_scored(self, setting: str) -> bool:
        """Whether a setting has been scored on every chunk, or is scored no further."""
        result = self.settings.get(setting)
        if result is None or result.failure is not None or not result.chunks:
            return False
        if result.dropped:
            return True
        return self.phase == "finished" or len(result.chunks) == self.planned_chunks > 0

    def key(self, setting: str) -> ComparabilityKey | None:
        """What the figures of a setting depend on; None before its first chunk.

        Rows whose keys differ are not ranked with each other.
        """
        from scorer.runs.comparability import ComparabilityKey

        result = self.settings.get(setting)
        if result is None or result.setting is None or result.figures is None:
            return None
        chunks = (chunk for chunk in result.chunks if chunk not in self.equal_chunks)
        rows = () if self.report is None else self.report.settings
        own = next((row.setting_fingerprint for row in rows if row.setting == setting), None)
        return ComparabilityKey.of(result.setting, chunks, self.run or "", self.conditions, own)

    def ranked(self) -> dict[str, Figures]:
        """The scored settings that one choice is made from, as in the recommendation of a report.

        They are of one start and path: what a runtime computes before the quantizer alone, stress
        before deployment.
        """
        from scorer.runs.comparability import comparable_groups, precedence

        known = [
            (name, key, result.figures)
            for name, result in self.settings.items()
            if result.figures is not None and (key := self.key(name)) is not None
        ]
        if not known:
            return {}
        groups = comparable_groups(known, lambda entry: entry[1])
        pool = min(groups, key=lambda group: precedence(group[0][1]))
        return {name: figures for name, _, figures in pool}

    def cheapest_good(self) -> tuple[str, Figures] | None:
        """The good setting with the fewest bytes per token; settled verdicts before open ones."""
        found = [
            (figures.is_open, self.kv_bytes.get(name, 0.0), name, figures)
            for name, figures in self.ranked().items()
            if figures.verdict == "good"
        ]
        if not found:
            return None
        _, _, name, figures = min(found, key=lambda item: item[:3])
        return name, figures

    def cheaper_open(self) -> str | None:
        """The cheapest good setting, if it costs less than that and its verdict is open."""
        chosen = self.cheapest_good()
        if chosen is None:
            return None
        cost = self.kv_bytes.get(chosen[0], 0.0)
        cheaper = [
            (self.kv_bytes.get(name, cost), name)
            for name, figures in self.ranked().items()
            if figures.verdict == "good" and figures.is_open
        ]
        least = min(cheaper, default=(cost, chosen[0]))
        return least[1] if least[0] < cost else None
