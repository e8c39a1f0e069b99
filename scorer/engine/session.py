"""One run in this process: prepare, open its folder, score what is missing, report."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from scorer.common.errors import (
    InputError,
    Interrupted,
    OtherConditions,
    QfidError,
    WillNotFit,
)
from scorer.device.memory_watch import MemoryWatch
from scorer.engine.own_kernels import OwnKernels
from scorer.runs.identity import stored_batch
from scorer.spec.corpora import as_pinned
from scorer.spec.events import Event, Finished, Planned, SettingFailedEvent, Warned
from scorer.spec.job import STANDARD_INPUT, CorpusSpec, Job

if TYPE_CHECKING:
    from scorer.device.backend import Backend
    from scorer.engine.prepared import Prepared
    from scorer.engine.ranks import SharedRun
    from scorer.engine.text_process import TextProcess
    from scorer.engine.turns import Turns
    from scorer.models.custom_code import Consent
    from scorer.models.info import ModelInfo
    from scorer.models.model_content import ModelContent
    from scorer.runs.facts import StoredFacts
    from scorer.runs.grid import CellKey
    from scorer.runs.identity import Identity
    from scorer.runs.listing import Run


class Session:
    """One run in this process: prepare, open its folder, score what is missing, report."""

    def __init__(
        self,
        job: Job,
        backend: Backend,
        run: str | None,
        stop: Callable[[], bool],
        accept_changes: bool,
        closing: Callable[[], None],
        watch: MemoryWatch,
        own_kernels: OwnKernels,
        allow_custom_code: Consent = False,
        text_file: Path | None = None,
        text: TextProcess | None = None,
        shared: SharedRun | None = None,
    ) -> None:
        self.job = job
        self.backend = backend
        self.wanted_run = run
        self.asked_to_stop = stop
        self.accept_changes = accept_changes
        self.closing = closing
        self.watch = watch
        self.allow_custom_code = allow_custom_code
        self.text_file = text_file
        self.text = text
        self.shared = shared
        self.run: Run | None = None
        self.own_kernels = own_kernels

    def stop(self) -> bool:
        """Whether the run has to end: it was asked to, or memory ran short."""
        return self.watch.short is not None or self.asked_to_stop()

    def _ended(self) -> QfidError | None:
        """The error with which a run ends before its first chunk, if it has to."""
        if not self.stop():
            return None
        return self.watch.short or Interrupted("stopped before the first chunk")

    def events(self) -> Iterator[Event]:
        """Everything after Hello."""
        from scorer.common.folders import cache_folder
        from scorer.engine.early_imports import EarlyImports
        from scorer.engine.preparation import Preparation
        from scorer.runs.chunk_plan import NEW, chunk_plan
        from scorer.runs.kept_text import kept_text
        from scorer.runs.listing import check_place, find_run
        from scorer.runs.run_lock import RunLock

        grid, chunks = None, NEW
        if self.wanted_run is None:
            self.job.check_new()
            # Before a model is loaded for nothing.
            check_place()
        else:
            # Settings already in the run keep their place; the job's new ones follow.
            earlier = find_run(self.wanted_run)
            with RunLock(earlier.path):
                pass
            earlier.check_appendable()
            settings = tuple(dict.fromkeys((*earlier.job.settings, *self.job.settings)))
            corpus = CorpusSpec(as_pinned(self.job.corpus.source, earlier.job.corpus.source))
            self.job = dataclasses.replace(self.job, settings=settings, corpus=corpus)
            # A batch that was asked for and is not the run's is refused further down.
            if self.job.batch in (None, batch := stored_batch(earlier.readable_facts.identity)):
                grid = batch
            chunks = chunk_plan(earlier, self.job)
            if self.job.corpus.source == STANDARD_INPUT:
                self.text_file = kept_text(earlier.path)
        shared = self.shared
        if shared is not None:
            shared.begin(
                self.job,
                grid=grid,
                chunks=chunks.kept,
                allow_custom_code=self.allow_custom_code,
                device=self.backend.kind,
            )
        preparation = Preparation(
            self.job,
            self.backend,
            cache_folder() / "tokens",
            grid=grid,
            chunks=chunks,
            allow_custom_code=self.allow_custom_code,
            check=None if self.wanted_run is None else self._check_model,
            text_file=self.text_file,
            text=self.text,
            ended=self._ended,
            loaded=None if shared is None else shared.send_text,
            before_passes=self.own_kernels.wait,
            beside=1 if shared is None else shared.beside,
            sharding=None if shared is None else shared.sharding,
        )
        imports = EarlyImports()
        try:
            yield from preparation.steps()
            imports.wait()
            if (error := self._ended()) is not None:
                raise error
            prepared = preparation.result
            assert prepared is not None
            if shared is not None:
                prepared = shared.agreed(prepared, self.backend)
            try:
                yield from self._in_run(prepared)
            finally:
                prepared.release()
        finally:
            preparation.close()

    def _check_model(self, info: ModelInfo, content: ModelContent) -> None:
        """Check, before code of the model runs, that a saved run began with the same model.

        Raises:
            InputError: It does not, and that was not accepted.
            QfidError: The model's files cannot be read.
        """
        from scorer.engine.known_content import model_identity, stored_identity
        from scorer.runs.listing import find_run

        assert self.wanted_run is not None
        run = find_run(self.wanted_run)
        content.hashes()
        now = model_identity(info, content)
        stored = stored_identity(run.readable_facts, content)
        self._check_conditions(run, {key: stored[key] for key in now if key in stored}, now)

    def _check_conditions(self, run: Run, stored: Identity, now: Identity) -> list[str]:
        """What differs from the conditions under which a run was begun, where that was accepted.

        Raises:
            OtherConditions: Something does, and that was not accepted.
        """
        from scorer.runs.identity import identity_differences

        differences = identity_differences(stored, now)
        if differences and not self.accept_changes:
            raise OtherConditions(
                f"run `{run.id}` was scored under other conditions: {'; '.join(differences)}",
                "score anew with `qfid kv`, or mix the two with --accept-changes",
            )
        return differences

    def _in_run(self, prepared: Prepared) -> Iterator[Event]:
        from scorer.engine.cells import CellScorer, run_grid
        from scorer.engine.checks import check_drift
        from scorer.engine.looks import looks_of
        from scorer.engine.run_facts import stored_facts
        from scorer.engine.weight_facts import unquantized_weights
        from scorer.report.formats.markdown import to_markdown
        from scorer.report.from_run import finished_report
        from scorer.runs.listing import find_run, new_run, unfinished_twin

        self.job = prepared.job
        if self.wanted_run is not None:
            # Its chunks are not mixed with those of a model that is not known.
            prepared.content.hashes()
        facts = stored_facts(prepared, self.backend)
        if self.wanted_run is None:
            twin = unfinished_twin(facts.identity, facts.chunks)
            if twin is not None:
                yield Warned(
                    f"run `{twin.id}` of the same model and text is unfinished",
                    f"`qfid resume {twin.id}` goes on with it; this run starts anew",
                )
            run = self.run = new_run(self.job, facts, self.text_file, locked=True)
        else:
            run = find_run(self.wanted_run)
        with run.open_writer() as writer, writer.watched():
            if self.wanted_run is not None:
                yield from self._go_on_with(run, facts, prepared, any_scored=bool(writer.stored))
            # Whatever failed is tried again below, or found again in what is stored.
            for name in run.failures():
                run.clear_failed(name)
            run.mark_stopped(None)
            looks = looks_of(prepared, run)
            yield self._planned(prepared, run, run_grid(prepared).missing(writer.stored))
            turns = self._turns(prepared, run)
            spread, stop = None, self.stop
            if self.shared is not None:
                spread = self.shared.spread
                if self.shared.sharding is not None:
                    # Ranks that hold a model together stop between two batches.
                    self.shared.stop, stop = self.stop, _never
            cells = CellScorer(prepared, self.backend.kind, writer, stop, turns, looks, spread)
            for name in run.dropped():
                cells.drop_setting(name)
            if writer.stored:
                cells.go_on_from(run.read())
            ended: QfidError | None = None
            try:
                for event in cells.events():
                    if isinstance(event, SettingFailedEvent):
                        run.mark_failed(event.setting, event.error, event.message, event.hint)
                    self._record_hashes(run, prepared.content)
                    yield event
            except Interrupted:
                ended = self.watch.short or Interrupted("stopped before the first chunk was scored")
            except WillNotFit as shortage:
                ended = shortage
            finally:
                if turns is not None:
                    turns.close()
            if self.shared is not None and ended is None:
                self.shared.end()
            self.closing()
            writer.check_in_place()
            run.mark_stopped(cells.schedule.stopped_at)
            stored = run.read()
            if ended is not None and not any(stored.values()):
                raise ended
            prepared.content.check_unchanged()
            self._record_hashes(run, prepared.content)
            for name, error in check_drift(stored, unquantized_weights(facts)).items():
                run.mark_failed(name, type(error).__name__, error.message, error.hint)
                yield SettingFailedEvent(name, type(error).__name__, error.message, error.hint)
            report = finished_report(run, stored)
            values = report.to_json()
            run.save_report(values, to_markdown(report), complete=ended is None)
        if isinstance(ended, WillNotFit):
            raise ended
        yield Finished(values, ended is None)

    def _turns(self, prepared: Prepared, run: Run) -> Turns | None:
        """The turns that the weights take in memory; None where all are loaded."""
        from scorer.engine.turns import Loader, Turns

        if not prepared.in_turns:
            return None
        loader = Loader(self.backend, prepared.split.arithmetic, self.allow_custom_code)
        return Turns(prepared, loader, run.path, self.stop)

    def _record_hashes(self, run: Run, content: ModelContent) -> None:
        """Store the hashes of the model's files once they are known.

        A run that ends early is to know them too.

        Raises:
            QfidError: A file was changed since the run began, or they cannot be stored.
        """
        from scorer.engine.known_content import is_recorded, with_hashes

        if content.is_known and not is_recorded(run.facts):
            run.grow(self.job, with_hashes(run.facts, content))

    def _go_on_with(
        self, run: Run, facts: StoredFacts, prepared: Prepared, *, any_scored: bool
    ) -> Iterator[Event]:
        """Make the saved run, whose lock is held, one of this job too.

        Yields:
            Warned where something is unknown that its numbers depend on.

        Raises:
            InputError: Its numbers may not be mixed with those to come, or another process has
                added settings to it since this one began.
        """
        from scorer.engine.checks import check_tokens
        from scorer.engine.known_content import stored_identity
        from scorer.runs.identity import (
            continued_identity,
            fingerprint_differences,
            unknown_fields,
            unknown_fingerprint_fields,
        )

        earlier = run.readable_facts
        stored = stored_identity(earlier, prepared.content)
        differences = self._check_conditions(run, stored, facts.identity)
        added = [s.key for s in run.job.settings if s not in self.job.settings]
        if added:
            raise InputError(
                f"another process has just added `{', '.join(added)}` to run `{run.id}`",
                "try again",
            )
        changed = fingerprint_differences(earlier.fingerprints, facts.fingerprints)
        for key, parts in changed.items():
            raise OtherConditions(
                f"setting `{key}` of run `{run.id}` is not what it was: {'; '.join(parts)}",
                "score it in a run of its own with `qfid kv`",
            )
        if any_scored and not self.accept_changes:
            check_tokens(run.id, run.read(), prepared.corpus)
        mixed, unknown = earlier.mixed, earlier.unknown
        if any_scored:
            if differences:
                mixed = (*mixed, "; ".join(differences))
            found = (
                *unknown_fields(stored, facts.identity),
                *unknown_fingerprint_fields(earlier.fingerprints, facts.fingerprints),
            )
            if found:
                unknown = tuple(dict.fromkeys((*unknown, *found)))
                yield Warned(
                    f"run `{run.id}` does not say under which {', '.join(found)} it was begun",
                    "it goes on as if nothing had changed, and its report says so",
                )
        identity = continued_identity(stored, facts.identity)
        if facts.chunks != earlier.chunks:
            run.reopen()
        run.grow(
            self.job, dataclasses.replace(facts, identity=identity, mixed=mixed, unknown=unknown)
        )
        self.run = run

    def _planned(self, prepared: Prepared, run: Run, missing: Iterable[CellKey]) -> Planned:
        from scorer.engine.run_facts import arithmetic_line
        from scorer.report.stopping import planned_looks
        from scorer.runs.comparability import run_conditions
        from scorer.text.equal_chunks import equal_chunks

        left = Counter(key.setting for key in missing)
        rows = [row for row in prepared.planned if row.control_of is None]
        corpus = prepared.corpus
        length = corpus.chunk_length - 1
        return Planned(
            run=run.id,
            run_path=str(run.path),
            model=prepared.info.name,
            settings=[row.setting.key for row in rows],
            chunks=list(corpus.indices),
            done={row.setting.key: len(corpus.indices) - left[row.computed_as.key] for row in rows},
            positions_per_chunk={
                row.setting.key: length - row.setting.first_position(corpus.scored_from)
                for row in rows
            },
            kv_bytes_per_token={
                row.setting.key: row.setting.bytes_per_token(prepared.geometry, corpus.chunk_length)
                for row in rows
            },
            kv_bytes_per_token_16bit=prepared.geometry.bytes_per_token_16bit(corpus.chunk_length),
            batch=prepared.batch,
            arithmetic=arithmetic_line(prepared, self.backend),
            text_chunks=corpus.total - len(corpus.left_out),
            equal_chunks=equal_chunks(corpus.ids, corpus.indices),
            conditions=dict(run_conditions(run.facts)),
            resolved={
                setting.written: setting.resolved(prepared.info.geometry).key
                for setting in prepared.asked.settings
            },
            looks=list(planned_looks(run.facts.run))
            if self.job.until_settled and run.facts.run is not None
            else [],
        )


def _never() -> bool:
    return False
