"""The loop around a run: a job in, events out, every batch saved before it is told."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from scorer.errors import (
    InputError,
    Interrupted,
    ModelNotCached,
    QfidError,
    WillNotFit,
)
from scorer.events import (
    Event,
    Failed,
    Finished,
    Hello,
    Planned,
    SettingFailedEvent,
    Warned,
)
from scorer.host_memory import HostMemory, host_memory
from scorer.job import Job
from scorer.memory_watch import MemoryWatch
from scorer.out_of_memory import is_out_of_memory
from scorer.run_identity import grid_of

if TYPE_CHECKING:
    from scorer.backend import Backend
    from scorer.prepare import Prepared
    from scorer.run_identity import Identity
    from scorer.runs import Run


def never() -> bool:
    """The ``stop`` of a run that nobody stops."""
    return False


def nothing() -> None:
    """The ``closing`` of a run that nobody else can end."""


def hello(backend: Backend) -> Hello:
    """The first event: who is scoring, on what."""
    return Hello(
        device=backend.kind,
        device_name=backend.name,
        memory_total=backend.memory_total,
        memory_free=backend.memory_free,
        blas=backend.blas,
        versions=backend.versions,
    )


def failure(error: QfidError, run: Run | None = None) -> Failed:
    """The last event of a run that ends without a report.

    Args:
        error: Why.
        run: The saved run, where there is one already; what it holds can be resumed.
    """
    saved = 0
    if run is not None:
        with contextlib.suppress(QfidError):
            saved = sum(map(len, run.scored().values()))
    return Failed(
        error=type(error).__name__,
        message=error.message,
        hint=error.hint,
        exit_code=error.exit_code,
        run=None if run is None else run.id,
        saved=saved,
        details={"repo": error.repo, "revision": error.revision}
        if isinstance(error, ModelNotCached)
        else {},
    )


def score(
    job: Job,
    *,
    run: str | None = None,
    stop: Callable[[], bool] = never,
    accept_changes: bool = False,
    light_imports: bool = False,
    closing: Callable[[], None] = nothing,
    read_memory: Callable[[], HostMemory] = host_memory,
    out_of_memory: Callable[[WillNotFit], None] | None = None,
) -> Iterator[Event]:
    """Score a job in this process.

    Args:
        job: What to score.
        run: Id of a saved run to continue; its missing chunks and settings are scored.
        stop: Asked between tiles; True ends the run in order, with a report of what is scored.
        accept_changes: Continue ``run`` although model, text or arithmetic differ from its own.
        light_imports: Import mlx-lm without transformers; only for a process of our own.
        closing: Called once all scoring is done, before the report is made.
        read_memory: Memory of the host now; looked at while the run works.
        out_of_memory: Ends this process at once where memory is all but gone; None leaves it to
            the next tile.

    Yields:
        Hello first; Finished or Failed last. Errors of the input and of the run are events, not
        exceptions.
    """
    from scorer.backend import start_backend

    session: Session | None = None
    try:
        backend = start_backend()
        yield hello(backend)
        with MemoryWatch(read_memory, at_once=out_of_memory) as watch:
            session = Session(job, backend, run, stop, accept_changes, closing, watch)
            from scorer.mlx_lm_import import import_mlx_lm

            import_mlx_lm(light=light_imports)
            yield from session.events()
    except QfidError as error:
        yield failure(error, None if session is None else session.run)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        yield failure(_ran_out(error), None if session is None else session.run)


def _ran_out(error: BaseException) -> WillNotFit:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return WillNotFit(
        f"out of memory: {first}", "free memory, or score with --batch 1 or shorter chunks"
    )


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
    ) -> None:
        self.job = job
        self.backend = backend
        self.wanted_run = run
        self.asked_to_stop = stop
        self.accept_changes = accept_changes
        self.closing = closing
        self.watch = watch
        self.run: Run | None = None

    def stop(self) -> bool:
        """Whether the run has to end: it was asked to, or memory ran short."""
        return self.watch.short is not None or self.asked_to_stop()

    def events(self) -> Iterator[Event]:
        """Everything after Hello."""
        from scorer.prepare import Preparation
        from scorer.runs import cache_folder, find_run

        grid = None
        if self.wanted_run is not None:
            # Settings already in the run keep their place; the job's new ones follow.
            earlier = find_run(self.wanted_run)
            settings = tuple(dict.fromkeys((*earlier.job.settings, *self.job.settings)))
            self.job = dataclasses.replace(self.job, settings=settings)
            # A batch that was asked for and is not the run's is refused further down.
            if self.job.batch in (None, stored := grid_of(earlier.facts)):
                grid = stored
        preparation = Preparation(self.job, self.backend, cache_folder() / "tokens", grid=grid)
        yield from preparation.steps()
        if self.stop():
            raise self.watch.short or Interrupted("stopped before the first chunk")
        prepared = preparation.result
        assert prepared is not None
        yield from self._in_run(prepared)

    def _in_run(self, prepared: Prepared) -> Iterator[Event]:
        from scorer.cells import Cells
        from scorer.finish import check_drift, finished_report
        from scorer.gather import identity_of, stored_facts
        from scorer.markdown import to_markdown
        from scorer.runs import find_run, new_run, unfinished_twin

        identity = identity_of(prepared, self.backend)
        facts = stored_facts(prepared, self.backend)
        if self.wanted_run is None:
            twin = unfinished_twin(identity)
            if twin is not None:
                yield Warned(
                    f"run `{twin.id}` of the same model and text is unfinished",
                    f"`qfid resume {twin.id}` goes on with it; this run starts anew",
                )
            run = self.run = new_run(self.job, facts)
        else:
            run = find_run(self.wanted_run)
        with run.open_writer() as writer:
            if self.wanted_run is not None:
                self._go_on_with(run, identity, facts)
            done = run.scored()
            # Whatever failed is tried again below, or found again in what is stored.
            for name in run.failures():
                run.clear_failed(name)
            yield self._planned(prepared, run, done)
            cells = Cells(prepared, self.backend.kind, writer, done, self.stop)
            ended: QfidError | None = None
            try:
                for event in cells.events():
                    if isinstance(event, SettingFailedEvent):
                        run.mark_failed(event.setting, event.error, event.message, event.hint)
                    yield event
            except Interrupted:
                ended = self.watch.short or Interrupted("stopped before the first chunk was scored")
            except WillNotFit as shortage:
                ended = shortage
            self.closing()
            stored = run.read()
            if ended is not None and not any(stored.values()):
                raise ended
            for name, error in check_drift(stored).items():
                run.mark_failed(name, type(error).__name__, error.message, error.hint)
                yield SettingFailedEvent(name, type(error).__name__, error.message, error.hint)
            report = finished_report(run, stored)
            run.save_report(report, to_markdown(report), complete=ended is None)
        if isinstance(ended, WillNotFit):
            raise ended
        yield Finished(report, ended is None)

    def _go_on_with(self, run: Run, identity: Identity, facts: dict[str, Any]) -> None:
        """Make the saved run, whose lock is held, one of this job too.

        Raises:
            InputError: Its numbers may not be mixed with those to come, or another process has
                added settings to it since this one began.
        """
        from scorer.run_identity import MIXED, identity_differences, mixed_conditions

        differences = identity_differences(run.facts.get("identity", {}), identity)
        if differences and not self.accept_changes:
            raise InputError(
                f"run `{run.id}` was scored under other conditions: {'; '.join(differences)}",
                "score anew with `qfid kv`, or mix the two with --accept-changes",
            )
        added = [str(setting) for setting in run.job.settings if setting not in self.job.settings]
        if added:
            raise InputError(
                f"another process has just added `{', '.join(added)}` to run `{run.id}`",
                "try again",
            )
        mixed = mixed_conditions(run.facts)
        if differences and any(run.scored().values()):
            mixed.append("; ".join(differences))
        run.grow(self.job, {**facts, MIXED: mixed} if mixed else facts)
        self.run = run

    def _planned(self, prepared: Prepared, run: Run, done: dict[str, set[int]]) -> Planned:
        from scorer.gather import arithmetic_line

        rows = [row for row in prepared.planned if row.control_of is None]
        corpus = prepared.corpus
        length = corpus.chunk_length - 1
        return Planned(
            run=run.id,
            run_path=str(run.path),
            model=prepared.info.name,
            settings=[str(row.setting) for row in rows],
            chunks=list(corpus.indices),
            done={
                str(row.setting): len(done.get(str(row.computed_as), set()) & set(corpus.indices))
                for row in rows
            },
            positions_per_chunk={
                str(row.setting): length - max(corpus.scored_from, row.setting.start)
                for row in rows
            },
            kv_bytes_per_token={
                str(row.setting): prepared.geometry.bytes_per_token(
                    row.setting, corpus.chunk_length
                )
                for row in rows
            },
            kv_bytes_per_token_16bit=prepared.geometry.bytes_per_token_16bit(corpus.chunk_length),
            batch=prepared.batch,
            arithmetic=arithmetic_line(prepared, self.backend),
            text_chunks=corpus.total,
        )
