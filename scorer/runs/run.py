"""One saved run: read, appended to, grown, reported, deleted.

A run is a folder ``<id>/`` in the runs folder:

- ``job.json``: the Job, the facts known when it began, its identity. What was asked.
- ``positions.arrow``: every scored position. The single source of truth.
- ``state.json``: which settings failed and which the report covers. Small, may be lost.
- ``report.json``, ``report.md``: made from the positions, so they can be made again.
- ``text``: the text, where it came from standard input.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorer.common.atomic_files import remove_temporary_files, storage_error, write_atomic
from scorer.common.errors import InputError
from scorer.models.file_stamp import digest_of
from scorer.runs.facts import FailureFacts, StoredFacts
from scorer.runs.identity import Identity, identity_hash
from scorer.runs.positions_schema import UnknownContent, refusal
from scorer.runs.run_files import job_json, json_object, read_job_file
from scorer.runs.run_info import RunInfo
from scorer.runs.run_lock import RunLock, holder
from scorer.runs.run_state import RunState, look_at_state, read_state, write_state
from scorer.runs.stored_counts import StoredCounts, count_chunks
from scorer.spec.job import Job

if TYPE_CHECKING:
    from scorer.runs.positions_file import PositionsWriter
    from scorer.runs.stored_chunks import StoredChunks

_STATE = "state.json"


class Run:
    """One saved run.

    Attributes:
        id: Name of the run's folder.
        path: The folder.
        job: What was asked, settings added later included.
        created: When it began, ISO 8601, UTC.
        identity: SHA-256 of the identity, hexadecimal.
    """

    def __init__(self, path: Path, lock: RunLock | None = None) -> None:
        """Read the run in the folder ``path``.

        Args:
            path: Its folder.
            lock: Its lock, where it is held already; the first writer takes it over.

        Raises:
            InputError: There is no run, or its ``job.json`` is malformed.
        """
        self._lock = lock
        self.path = path
        self.id = path.name
        self._counted = StoredCounts()
        self._load()

    def _load(self) -> None:
        found = read_job_file(self.path)
        self.job, self.created = found.job, found.created
        self.identity = identity_hash(found.facts["identity"])
        self._values: dict[str, Any] = found.facts
        self._facts: StoredFacts | None = None

    @property
    def conditions(self) -> Identity:
        """The identity itself, of which ``identity`` is the hash."""
        conditions: Identity = self._values["identity"]
        return conditions

    @property
    def facts(self) -> StoredFacts:
        """What the scorer knew of the run when it began.

        Raises:
            InputError: They are damaged, or another version of qfid wrote them.
        """
        if self._facts is None:
            try:
                self._facts = StoredFacts.from_json(self._values)
            except InputError as error:
                message = f"`job.json` of run `{self.id}`: {error.message}"
                raise InputError(message, error.hint) from error
        return self._facts

    @property
    def readable_facts(self) -> StoredFacts:
        """The facts; where they are damaged, their identity, chunks and conditions alone."""
        try:
            return self.facts
        except InputError:
            chunks = self._values.get("chunks")
            return StoredFacts(
                identity=self.conditions,
                chunks=tuple(chunks) if chunks and _all_are(int, chunks) else None,
                mixed=self._texts("mixed"),
                unknown=self._texts("unknown"),
            )

    def _texts(self, name: str) -> tuple[str, ...]:
        values = self._values.get(name)
        return tuple(values) if values and _all_are(str, values) else ()

    @property
    def positions_path(self) -> Path:
        """The run's ``positions.arrow``, which exists from the first writer on."""
        return self.path / "positions.arrow"

    @property
    def finished(self) -> bool:
        """Whether a report covers every setting of the job."""
        complete = set(self.state().complete)
        covered = complete.issuperset(setting.key for setting in self.job.settings)
        return covered and (self.path / "report.json").is_file()

    @property
    def whole(self) -> bool:
        """Whether every planned chunk of every setting is stored intact; reads all positions.

        Of a run that stopped because it was settled, those until then.

        Raises:
            QfidError: The file cannot be opened or the disk fails.
        """
        chunks, stored = self.readable_facts.chunks, self.scored()
        if chunks is None:
            return True
        chunks = chunks[: self.state().stopped_at]
        dropped = self.dropped()
        settings = [
            self.stored_as(setting.key)
            for setting in self.job.settings
            if setting.key not in dropped
        ]
        return all(stored.get(name, set()).issuperset(chunks) for name in settings)

    def open_writer(self) -> PositionsWriter:
        """Take the run's lock and open its positions for appending, repaired where torn.

        ``job.json`` is read again: another process may have grown the run before the lock was
        free. Hold the writer for as long as anything of the run is changed; closing it gives the
        lock back.

        Raises:
            InputError: Another process writes to the run, and is named; or another version wrote
                something into its positions, and no byte of them is changed.
            QfidError: The file cannot be opened or written.
        """
        from scorer.runs.positions_file import PositionsWriter

        lock, self._lock = self._lock, None
        if lock is None:
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
        """Setting to the chunks stored intact.

        Raises:
            InputError: The positions are not those of a version that this one can read.
            QfidError: The file cannot be opened or the disk fails.
        """
        from scorer.runs.positions_file import read_positions

        found: dict[str, set[int]] = {}
        if self.positions_path.exists():
            for chunk in read_positions(self.positions_path):
                found.setdefault(chunk.key.setting, set()).add(chunk.key.chunk)
        return found

    def read(self) -> dict[str, StoredChunks]:
        """Setting to its scored chunks with their facts, in ascending order of chunk.

        All of the file is checked; positions are read again when they are asked for. Where the
        run's job names roles, they are those of these roles.

        Raises:
            InputError: The positions are not those of a version that this one can read.
            QfidError: The file cannot be opened or the disk fails.
        """
        from scorer.runs.stored_chunks import stored_chunks

        found: dict[str, StoredChunks] = {}
        if self.positions_path.exists():
            size = self.positions_path.stat().st_size
            found = stored_chunks(self.positions_path, self.job.roles)
            # Taken before: what another thread has appended since makes it void.
            counts = {setting: len(chunks) for setting, chunks in found.items()}
            self._counted = StoredCounts(size, counts)
        return found

    def check_appendable(self) -> None:
        """Check, without reading any position, that this version may go on with the run.

        Raises:
            InputError: Another version wrote something into its positions file.
        """
        counts = count_chunks(self.positions_path)
        if counts.read_only:
            unknown = UnknownContent(counts.read_only)
            raise refusal(self.positions_path, unknown, "does not write to it")

    def reopen(self) -> None:
        """Call the run unfinished until a report covers it again, as before chunks are added."""
        state = self.state()
        if state.complete:
            state.complete = []
            self._save_state(state)

    def grow(self, job: Job, facts: StoredFacts | None = None) -> None:
        """Add the settings of ``job`` to the run's own, which keep their order; or chunks.

        Whether the run may be continued at all is for the caller to decide, by the identities.

        Args:
            job: The job with the settings to add.
            facts: What replaces the run's facts; None keeps them.

        Raises:
            InputError: ``job`` cuts the text otherwise or names another model, or another
                process writes to the run.
            ValueError: The facts have no identity or hold an infinite number.
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
        state = self.state()
        state.complete = [setting.key for setting in self.job.settings] if complete else []
        state.counted = count_chunks(self.positions_path, self._counted)
        self._save_state(state)

    def report(self) -> dict[str, Any] | None:
        """The stored report as JSON values; None where there is none that can be read."""
        try:
            return json_object(self.path / "report.json")
        except InputError:
            return None

    def failures(self) -> dict[str, FailureFacts]:
        """Setting to why it failed, as far as nothing was scored again since."""
        return self.state().failures

    def mark_failed(self, setting: str, error: str, message: str, hint: str = "") -> None:
        """Record that a setting gave no usable number, so that later reports can say so."""
        state = self.state()
        state.failures[setting] = FailureFacts(error, message, hint)
        self._save_state(state)

    def clear_failed(self, setting: str) -> None:
        """Forget a failure before the setting is tried again; the run is unfinished until then."""
        state = self.state()
        if state.failures.pop(setting, None) is not None:
            state.complete = [name for name in state.complete if name != setting]
            self._save_state(state)

    def dropped(self) -> dict[str, str]:
        """Setting to why it is scored no further."""
        return self.state().dropped

    def mark_dropped(self, reasons: Mapping[str, str]) -> None:
        """Record settings that are scored no further, and why."""
        if reasons:
            state = self.state()
            state.dropped |= reasons
            self._save_state(state)

    def mark_stopped(self, chunks: int | None) -> None:
        """Record after how many chunks the run stopped because it is settled; None: it did not."""
        state = self.state()
        if state.stopped_at != chunks:
            state.stopped_at = chunks
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
        """The run's line in the list, without reading its positions.

        Raises:
            InputError: Its positions are not those of a version that this one can read.
        """
        state, is_read = look_at_state(self.path / _STATE)
        settings = tuple(setting.key for setting in self.job.settings)
        counts = count_chunks(self.positions_path, state.counted)
        facts = self.readable_facts
        planned, revision = facts.chunks, facts.identity.get("model revision")
        running = holder(self.path) is not None
        return RunInfo(
            id=self.id,
            folder=str(self.path),
            state="running" if running else "finished" if self.finished else "unfinished",
            model=self.job.model,
            settings=settings,
            corpus=self.job.corpus.source,
            chunk_length=self.job.chunk_length,
            created=self.created,
            chunks_done=sum(counts.chunks.get(self.stored_as(name), 0) for name in settings),
            chunks_planned=None
            if planned is None
            else len(planned[: state.stopped_at]) * len(settings),
            failed=tuple(state.failures),
            read_only=counts.read_only,
            conditions=self.job.conditions,
            revision=None if revision in (None, "none") else str(revision),
            files=digest_of(facts.files),
            roles=",".join(self.job.roles),
            is_whole=is_read and counts.size >= 0,
        )

    def stored_as(self, setting: str) -> str:
        """The setting under which this one's positions are stored: another of the same arithmetic.

        Source: ``same_as`` of the setting's facts.
        """
        own = self.readable_facts.settings.get(setting)
        return setting if own is None or own.same_as is None else own.same_as

    def _refuse_other_writer(self) -> None:
        other = holder(self.path)
        if other is not None and other.pid != os.getpid():
            RunLock(self.path).acquire()  # raises, naming the holder

    def state(self) -> RunState:
        """What is known of the run beside its job and positions; read from its file."""
        return read_state(self.path / _STATE)

    def _save_state(self, state: RunState) -> None:
        write_state(self.path / _STATE, state)


def _all_are(kind: type, values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is kind for value in values)
