"""The loop around a run: a job in, events out, every batch saved before it is told."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

from scorer.errors import InputError, Interrupted, ModelNotCached, QfidError, SettingFailed
from scorer.events import (
    ChunkScored,
    Event,
    Failed,
    Finished,
    Hello,
    Planned,
    Progress,
    SettingFailedEvent,
    Warned,
)
from scorer.job import Job

if TYPE_CHECKING:
    from scorer.backend import Backend
    from scorer.kernels import Metrics
    from scorer.lanes import KVLane
    from scorer.loop import Batch, Pass, Scored
    from scorer.positions import Positions
    from scorer.prepare import Prepared
    from scorer.run_identity import Identity
    from scorer.runs import Run


def never() -> bool:
    """The ``stop`` of a run that nobody stops."""
    return False


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
) -> Iterator[Event]:
    """Score a job in this process.

    Args:
        job: What to score.
        run: Id of a saved run to continue; its missing chunks and settings are scored.
        stop: Asked between tiles; True ends the run in order, with a report of what is scored.
        accept_changes: Continue ``run`` although model, text or arithmetic differ from its own.
        light_imports: Import mlx-lm without transformers; only for a process of our own.

    Yields:
        Hello first; Finished or Failed last. Errors of the input and of the run are events, not
        exceptions.
    """
    from scorer.backend import start_backend

    session: Session | None = None
    try:
        backend = start_backend()
        yield hello(backend)
        session = Session(job, backend, run, stop, accept_changes)
        from scorer.mlx_lm_import import import_mlx_lm

        import_mlx_lm(light=light_imports)
        yield from session.events()
    except QfidError as error:
        yield failure(error, None if session is None else session.run)


class Session:
    """One run in this process: prepare, open its folder, score what is missing, report."""

    def __init__(
        self,
        job: Job,
        backend: Backend,
        run: str | None,
        stop: Callable[[], bool],
        accept_changes: bool,
    ) -> None:
        self.job = job
        self.backend = backend
        self.wanted_run = run
        self.stop = stop
        self.accept_changes = accept_changes
        self.failed: dict[str, SettingFailed] = {}
        self.run: Run | None = None

    def events(self) -> Iterator[Event]:
        """Everything after Hello."""
        from scorer.prepare import Preparation
        from scorer.runs import cache_folder, find_run

        if self.wanted_run is not None:
            # Settings already in the run keep their place; the job's new ones follow.
            earlier = find_run(self.wanted_run).job.settings
            settings = tuple(dict.fromkeys((*earlier, *self.job.settings)))
            self.job = dataclasses.replace(self.job, settings=settings)
        preparation = Preparation(self.job, self.backend, cache_folder() / "tokens")
        yield from preparation.steps()
        if self.stop():
            raise Interrupted("stopped before the first chunk")
        prepared = preparation.result
        assert prepared is not None
        yield from self._in_run(prepared)

    def _in_run(self, prepared: Prepared) -> Iterator[Event]:
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
            try:
                yield from self._batches(prepared, run, writer, done)
                complete = True
            except Interrupted:
                complete = False
            stored = run.read()
            if not complete and not any(stored.values()):
                raise Interrupted("stopped before the first chunk was scored")
            for name, error in check_drift(stored).items():
                self.failed[name] = error
                yield SettingFailedEvent(name, type(error).__name__, error.message, error.hint)
            for name, error in self.failed.items():
                run.mark_failed(name, type(error).__name__, error.message, error.hint)
            report = finished_report(run, stored)
            run.save_report(report, to_markdown(report), complete=complete)
        yield Finished(report, complete)

    def _go_on_with(self, run: Run, identity: Identity, facts: dict[str, Any]) -> None:
        """Make the saved run, whose lock is held, one of this job too.

        Raises:
            InputError: Its numbers may not be mixed with those to come, or another process has
                added settings to it since this one began.
        """
        from scorer.runs import identity_differences

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
        run.grow(self.job, facts)
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
        )

    def _batches(
        self, prepared: Prepared, run: Run, writer: Any, done: dict[str, set[int]]
    ) -> Iterator[Event]:
        """Score the missing cells of the batch grid; a cell is saved before its event is sent."""
        from scorer.kernels import Metrics
        from scorer.loop import LaneFailed, Pass, score_batch

        metrics = Metrics.for_device(self.backend.kind)
        lanes = prepared.lanes()
        told: set[str] = set()
        for batch in self._grid(prepared):
            pending = [
                lane
                for lane in lanes
                if str(lane.setting) not in self.failed
                and not done.get(str(lane.setting), set()).issuperset(batch.chunks)
            ]
            if not pending:
                continue
            passes = (self.job.noise_floor + 1) * (len(pending) + 1)
            before = passes - len(pending) - 1
            sums = yield from self._perturbed(prepared, pending, batch, metrics, passes)
            for outcome in score_batch(
                prepared.reference, pending, batch, metrics, prepared.vocab, self.stop
            ):
                if isinstance(outcome, Pass):
                    yield _progress(batch, outcome, before + outcome.done, passes)
                elif isinstance(outcome, LaneFailed):
                    yield self._setting_failed(outcome.lane, outcome.error)
                else:
                    already = done.setdefault(str(outcome.lane.setting), set())
                    yield from self._save(prepared, writer, outcome, already, told, sums)

    def _perturbed(
        self,
        prepared: Prepared,
        lanes: list[KVLane],
        batch: Batch,
        metrics: Metrics,
        passes: int,
    ) -> Generator[Event, None, dict[tuple[str, int], list[float]]]:
        """KL sums of a batch's perturbed repeats, nats, by setting and chunk."""
        from scorer.loop import Pass, Scored, score_batch
        from scorer.noise import EmbeddingNoise, PerturbedLane, PerturbedReference

        sums: dict[tuple[str, int], list[float]] = {}
        for repeat in range(self.job.noise_floor):
            noise = EmbeddingNoise(repeat, batch.chunks, batch.ids.shape[1] - 1)
            reference = PerturbedReference(prepared.reference, noise)
            perturbed = [PerturbedLane(lane, noise) for lane in lanes]
            for outcome in score_batch(
                reference, perturbed, batch, metrics, prepared.vocab, self.stop
            ):
                if isinstance(outcome, Pass):
                    yield _progress(
                        batch, outcome, repeat * (len(lanes) + 1) + outcome.done, passes
                    )
                elif isinstance(outcome, Scored):
                    for positions in outcome.chunks:
                        key = str(outcome.lane.setting), int(positions.chunk[0])
                        sums.setdefault(key, []).append(float(positions.kl.sum()))
            if not noise.reached:
                yield Warned(
                    "the noise floor cannot be measured: this architecture embeds its tokens in "
                    "a way of its own",
                    "the other figures are not affected",
                )
                self.job = dataclasses.replace(self.job, noise_floor=0)
                return {}
        return sums

    def _setting_failed(self, lane: KVLane, error: QfidError) -> SettingFailedEvent:
        name = str(lane.setting)
        self.failed[name] = SettingFailed(error.message, error.hint)
        return SettingFailedEvent(name, type(error).__name__, error.message, error.hint)

    def _grid(self, prepared: Prepared) -> Iterator[Batch]:
        from scorer.loop import Batch

        corpus, size = prepared.corpus, prepared.batch
        for start in range(0, len(corpus.indices), size):
            yield Batch(
                corpus.indices[start : start + size],
                corpus.ids[start : start + size],
                corpus.scored_from,
            )

    def _save(
        self,
        prepared: Prepared,
        writer: Any,
        scored: Scored,
        already: set[int],
        told: set[str],
        sums: dict[tuple[str, int], list[float]],
    ) -> Iterator[Event]:
        from scorer.backend import peak_memory

        name = str(scored.lane.setting)
        rows = [row for row in prepared.planned if row.computed_as == scored.lane.setting]
        seconds = scored.seconds / len(scored.chunks)
        for positions in scored.chunks:
            chunk = int(positions.chunk[0])
            if chunk in already:
                continue
            facts: dict[str, Any] = {"seconds": seconds, "peak_memory_bytes": peak_memory()}
            if name not in told and scored.lane.engagement is not None:
                facts["engagement"] = scored.lane.engagement.to_json()
            if (name, chunk) in sums:
                facts["perturbed_kl_sums"] = sums[name, chunk]
            writer.append(name, positions, facts)
            told.add(name)
            already.add(chunk)
            for row in rows:
                if row.control_of is None:
                    yield _chunk_event(str(row.setting), positions, seconds)


def _progress(batch: Batch, made: Pass, done: int, passes: int) -> Progress:
    name = "" if made.lane is None else str(made.lane.setting)
    return Progress(batch.chunks[0], name, done, passes, _memory_in_use())


def _chunk_event(setting: str, positions: Positions, seconds: float) -> ChunkScored:
    from scorer.quantiles import quantile

    return ChunkScored(
        setting=setting,
        chunk=int(positions.chunk[0]),
        positions=len(positions),
        kl_mean=float(positions.kl.mean()),
        kl_max=float(positions.kl.max()),
        kl_p99=quantile(positions.kl, 0.99),
        flips=int(positions.flips.sum()),
        nll_ref=float(positions.nll_ref.sum()),
        nll_quant=float(positions.nll_quant.sum()),
        seconds=seconds,
    )


def _memory_in_use() -> int:
    from scorer.backend import memory_in_use

    return memory_in_use()
