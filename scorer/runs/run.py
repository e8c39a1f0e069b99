"""One saved run: read, appended to, grown, reported, deleted.

A run is a folder ``<id>/`` in the runs folder:

- ``job.json``: the Job, the facts known when it began, its identity. What was asked.
- ``positions.arrow``: every scored position. The single source of truth.
- ``state.json``: which settings failed and which the report covers. Small, may be lost.
- ``report.json``, ``report.md``: made from the positions, so they can be made again.
- ``lock``: which process writes to the run.

Pure standard library: the app lists runs before anything heavy is imported.
"""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scorer.common.atomic_files import remove_temporary_files, storage_error, write_atomic
from scorer.common.errors import InputError
from scorer.runs.identity import identity_hash, is_identity
from scorer.runs.run_lock import RunLock, holder
from scorer.runs.stored_counts import count_chunks
from scorer.spec.job import Job

if TYPE_CHECKING:
    from scorer.runs.positions_file import PositionsWriter
    from scorer.stats.positions import Positions

SCHEMA = 1
State = Literal["finished", "unfinished", "running", "broken"]


@dataclass(frozen=True, slots=True)
class Failure:
    """A setting that gave no usable number: the class of its error, its message and hint."""

    error: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """One line of the list of runs.

    Attributes:
        id: Name of the run's folder.
        path: The folder.
        state: ``running`` while a living process writes to it; ``broken`` where it cannot be
            read.
        reason: Why it is broken, else "".
        model: The model as the job names it; "" for a broken run, as are the next two.
        settings: The settings in notation, in the order of the report.
        corpus: Name or path of the text.
        created: When the run began, ISO 8601, UTC.
        chunks_done: Stored (setting, chunk) pairs, damaged ones not yet told apart; settings that
            share their arithmetic share what is stored.
        chunks_planned: Pairs that the job asks for; None where the facts name no chunks.
        failed: Settings that failed.
    """

    id: str
    path: Path
    state: State
    reason: str = ""
    model: str = ""
    settings: tuple[str, ...] = ()
    corpus: str = ""
    created: str = ""
    chunks_done: int = 0
    chunks_planned: int | None = None
    failed: tuple[str, ...] = ()


class Run:
    """One saved run.

    Attributes:
        id: Name of the run's folder.
        path: The folder.
        job: What was asked, settings added later included.
        facts: What the scorer knew when it began; ``facts["identity"]`` decides which runs
            continue each other, ``facts["chunks"]`` lists the chunks to score.
        created: When it began, ISO 8601, UTC.
        identity: SHA-256 of the identity, hexadecimal.
    """

    def __init__(self, path: Path) -> None:
        """Read the run in the folder ``path``.

        Raises:
            InputError: There is no run, or its ``job.json`` is malformed.
        """
        self.path = path
        self.id = path.name
        self._counted: dict[str, Any] = {}
        self._load()

    def _load(self) -> None:
        data = _object(self.path / "job.json")
        if data.get("schema") != SCHEMA or type(data["schema"]) is not int:
            raise InputError(
                f"run `{self.id}` was written by another version of qfid "
                f"(schema `{str(data.get('schema'))[:20]}`, not `{SCHEMA}`)"
            )
        facts, created = data.get("facts"), data.get("created")
        if not isinstance(facts, dict) or not isinstance(created, str):
            raise InputError(f"`job.json` of run `{self.id}` lacks its facts or its date")
        try:
            self.job = Job.from_json(data.get("job"))
            self.created = datetime.fromisoformat(created).astimezone(UTC).isoformat()
        except (InputError, ValueError, OverflowError) as error:
            cause = error.message if isinstance(error, InputError) else str(error)
            raise InputError(f"`job.json` of run `{self.id}`: {' '.join(cause.split())}") from error
        identity = facts.get("identity")
        if not is_identity(identity) or data.get("identity") != identity_hash(identity):
            raise InputError(f"`job.json` of run `{self.id}` does not match its own identity")
        self.facts: dict[str, Any] = facts
        self.identity = identity_hash(identity)

    @property
    def positions_path(self) -> Path:
        """The run's ``positions.arrow``, which exists from the first writer on."""
        return self.path / "positions.arrow"

    @property
    def finished(self) -> bool:
        """Whether a report covers every setting of the job."""
        return (self.path / "report.json").is_file() and _covers(self._state(), self.job)

    @property
    def whole(self) -> bool:
        """Whether every planned chunk of every setting is stored intact; reads all positions.

        Raises:
            QfidError: The file cannot be opened or the disk fails.
        """
        chunks, stored = self.facts.get("chunks"), self.scored()
        if not isinstance(chunks, list):
            return True
        settings = [self.stored_as(str(setting)) for setting in self.job.settings]
        return all(chunk in stored.get(name, ()) for name in settings for chunk in _whole(chunks))

    def open_writer(self) -> PositionsWriter:
        """Take the run's lock and open its positions for appending, repaired where torn.

        ``job.json`` is read again: another process may have grown the run before the lock was
        free. Hold the writer for as long as anything of the run is changed; closing it gives the
        lock back.

        Raises:
            InputError: Another process writes to the run; it is named.
            QfidError: The file cannot be opened or written.
        """
        from scorer.runs.positions_file import PositionsWriter

        lock = RunLock(self.path)
        lock.acquire()
        try:
            remove_temporary_files(self.path)
            self._load()
            return PositionsWriter(self.positions_path, on_close=lock.release)
        except BaseException:
            lock.release()
            raise

    def scored(self) -> dict[str, set[int]]:
        """Setting to the chunks stored intact."""
        from scorer.runs.positions_file import read_positions

        found: dict[str, set[int]] = {}
        if self.positions_path.exists():
            for setting, chunk, _, _ in read_positions(self.positions_path):
                found.setdefault(setting, set()).add(chunk)
        return found

    def read(self) -> dict[str, list[tuple[Positions, dict[str, Any]]]]:
        """Setting to its scored chunks with their facts, in ascending order of chunk.

        Raises:
            QfidError: The file cannot be opened or the disk fails.
        """
        from scorer.runs.positions_file import read_positions

        found: dict[str, list[tuple[int, Positions, dict[str, Any]]]] = {}
        if self.positions_path.exists():
            size = self.positions_path.stat().st_size
            for setting, chunk, positions, facts in read_positions(self.positions_path):
                found.setdefault(setting, []).append((chunk, positions, facts))
            # Taken before: what another thread has appended since makes it void.
            counts = {setting: len(batches) for setting, batches in found.items()}
            self._counted = {"size": size, "chunks": counts}
        return {
            setting: [batch[1:] for batch in sorted(batches, key=lambda batch: batch[0])]
            for setting, batches in found.items()
        }

    def grow(self, job: Job, facts: Mapping[str, Any] | None = None) -> None:
        """Add the settings of ``job`` to the run's own, which keep their order.

        Whether the run may be continued at all is for the caller to decide, by the identities.

        Args:
            job: The job with the settings to add.
            facts: What replaces the run's facts; None keeps them.

        Raises:
            InputError: ``job`` cuts the text otherwise or names another model, or another
                process writes to the run.
            ValueError: The facts have no identity or are no JSON.
        """
        self._refuse_other_writer()
        for name in ("model", "protocol", "chunk_length"):
            old, new = getattr(self.job, name), getattr(job, name)
            if old != new:
                raise InputError(
                    f"run `{self.id}` has {name.replace('_', ' ')} `{old}`, not `{new}`",
                    "start a run of its own for it",
                )
        settings = tuple(dict.fromkeys((*self.job.settings, *job.settings)))
        grown = dataclasses.replace(job, settings=settings)
        text = job_json(grown, self.facts if facts is None else facts, self.created)
        write_atomic(self.path / "job.json", text)
        self._load()

    def save_report(
        self, report: Mapping[str, Any], markdown: str, *, complete: bool = True
    ) -> None:
        """Store the report; the run is finished once a complete one covers all its settings.

        Args:
            report: The report as JSON values.
            markdown: The report for people.
            complete: Every setting was scored on every chunk or failed.

        Raises:
            QfidError: A file could not be written.
        """
        write_atomic(self.path / "report.md", markdown)
        write_atomic(self.path / "report.json", json.dumps(dict(report), indent=1) + "\n")
        state = self._state()
        state["complete"] = [str(setting) for setting in self.job.settings] if complete else []
        state["counted"] = count_chunks(self.positions_path, self._counted)
        self._save_state(state)

    def report(self) -> dict[str, Any] | None:
        """The stored report; None where there is none or it cannot be read: make it again."""
        try:
            return _object(self.path / "report.json")
        except InputError:
            return None

    def failures(self) -> dict[str, Failure]:
        """Setting to why it failed, as far as nothing was scored again since."""
        failures = self._state()["failures"]
        return {setting: Failure(**values) for setting, values in failures.items()}

    def mark_failed(self, setting: str, error: str, message: str, hint: str = "") -> None:
        """Record that a setting gave no usable number, so that later reports can say so."""
        state = self._state()
        state["failures"][setting] = {"error": error, "message": message, "hint": hint}
        self._save_state(state)

    def clear_failed(self, setting: str) -> None:
        """Forget a failure before the setting is tried again; the run is unfinished until then."""
        state = self._state()
        if state["failures"].pop(setting, None) is not None:
            state["complete"] = [name for name in state["complete"] if name != setting]
            self._save_state(state)

    def delete(self) -> None:
        """Remove the run and all its files.

        Raises:
            InputError: A process writes to the run, or the folder cannot be removed.
        """
        try:
            with RunLock(self.path):
                # A name that no list shows: a crash half-way leaves no half of a run behind.
                doomed = self.path.with_name(f".deleted-{secrets.token_hex(6)}")
                self.path.rename(doomed)
            shutil.rmtree(doomed)
        except OSError as error:
            raise storage_error(error, self.path) from error

    def info(self) -> RunInfo:
        """The run's line in the list, without reading its positions."""
        state = self._state()
        settings = tuple(str(setting) for setting in self.job.settings)
        counts = count_chunks(self.positions_path, state["counted"])["chunks"]
        chunks = self.facts.get("chunks")
        running = holder(self.path) is not None
        return RunInfo(
            id=self.id,
            path=self.path,
            state="running" if running else "finished" if self.finished else "unfinished",
            model=self.job.model,
            settings=settings,
            corpus=self.job.corpus.source,
            created=self.created,
            chunks_done=sum(counts.get(self.stored_as(setting), 0) for setting in settings),
            chunks_planned=(len(chunks) * len(settings) if isinstance(chunks, list) else None),
            failed=tuple(state["failures"]),
        )

    def stored_as(self, setting: str) -> str:
        """The setting under which this one's positions are stored: another of the same arithmetic.

        Source: ``same_as`` of the setting's facts.
        """
        facts = self.facts.get("settings")
        own = facts.get(setting) if isinstance(facts, dict) else None
        same_as = own.get("same_as") if isinstance(own, dict) else None
        return same_as if isinstance(same_as, str) else setting

    def _refuse_other_writer(self) -> None:
        other = holder(self.path)
        if other is not None and other.pid != os.getpid():
            RunLock(self.path).acquire()  # raises, naming the holder

    def _state(self) -> dict[str, Any]:
        """``state.json`` with anything that is not as we write it left out."""
        try:
            data = _object(self.path / "state.json")
        except InputError:
            data = {}
        failures, complete, counted = map(data.get, ("failures", "complete", "counted"))
        return {
            "failures": {
                setting: {key: values[key] for key in ("error", "message", "hint")}
                for setting, values in (failures if isinstance(failures, dict) else {}).items()
                if isinstance(values, dict)
                and all(isinstance(values.get(key), str) for key in ("error", "message", "hint"))
            },
            "complete": complete if isinstance(complete, list) else [],
            "counted": counted if isinstance(counted, dict) else {},
        }

    def _save_state(self, state: dict[str, Any]) -> None:
        write_atomic(self.path / "state.json", json.dumps(state, indent=1) + "\n")


def job_json(job: Job, facts: Mapping[str, Any], created: str) -> str:
    """The text of a run's ``job.json``.

    Raises:
        ValueError: ``facts["identity"]`` is no flat object, or the facts are no JSON.
    """
    identity = facts.get("identity")
    if not is_identity(identity):
        raise ValueError("facts['identity'] must be a flat object of strings and numbers")
    data = {
        "schema": SCHEMA,
        "job": job.to_json(),
        "facts": dict(facts),
        "created": created,
        "identity": identity_hash(identity),
    }
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def _whole(values: list[Any]) -> list[int]:
    return [value for value in values if type(value) is int]


def _covers(state: dict[str, Any], job: Job) -> bool:
    return {str(setting) for setting in job.settings} <= set(map(str, state["complete"]))


def _object(path: Path) -> dict[str, Any]:
    """The JSON object in a small file of a run.

    Raises:
        InputError: There is no such file, or it holds something else.
    """
    name = f"`{path.name}` of run `{path.parent.name}`"
    try:
        if not path.is_file() or path.is_symlink():
            raise InputError(f"{name} is missing")
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not JSON") from error
    if not isinstance(data, dict):
        raise InputError(f"{name} is not a JSON object")
    return data
