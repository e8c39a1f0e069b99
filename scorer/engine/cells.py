"""Carries the cells that a schedule hands out through the loop and to the positions file."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING

from scorer.common.device_kind import DeviceKind
from scorer.common.error_text import first_line
from scorer.common.errors import Interrupted, ModelChanged, QfidError, WillNotFit
from scorer.common.out_of_memory import is_out_of_memory
from scorer.device.buffer_cache import free_buffers, keeping_buffers
from scorer.device.memory import memory_in_use, peak_memory
from scorer.device.pipeline import choose_pipeline
from scorer.engine.batch_scorers import Scoring, batch_scorer
from scorer.engine.cell_store import CellStore
from scorer.engine.looks import Looks
from scorer.engine.outcomes import (
    BatchScorer,
    LaneFailed,
    Outcome,
    PassDone,
    Scored,
    ScoreTask,
    Told,
)
from scorer.engine.prepared import Prepared
from scorer.engine.saving import Saver
from scorer.engine.schedule import Cells, Schedule
from scorer.engine.tiles import Batch
from scorer.fit.memory_need import KEPT_BUFFERS
from scorer.fit.pass_size import PassSize
from scorer.lanes.base import Lane
from scorer.lanes.noise import SharingLane
from scorer.metrics.reduce import Metrics
from scorer.runs.chunk_facts import ChunkFacts, SmallerPass
from scorer.runs.engagement import Engagement
from scorer.runs.grid import CellKey, Chunk, Grid, GridBatch, Passage
from scorer.runs.role_runs import RoleRuns, runs_of
from scorer.spec.events import Event, Looked, Progress, SettingDropped, SettingFailedEvent, Warned
from scorer.stats.noise_floor import PerturbedRepeats

if TYPE_CHECKING:
    from scorer.engine.turns import Turns
    from scorer.report.from_run import Batches
    from scorer.runs.positions_file import PositionsWriter
    from scorer.stats.positions import Positions


Spread = Callable[[BatchScorer, PassSize, Mapping[str, Lane]], BatchScorer]
"""Of what scores a share here, the size of passes, and lanes by key, makes what scores it all."""


def run_grid(prepared: Prepared) -> Grid:
    """All cells of a prepared job: its chunks under every setting that is computed."""
    corpus = prepared.corpus
    scored = range(corpus.scored_from, corpus.chunk_length - 1)
    passage = Passage(
        text=corpus.sha256,
        protocol=prepared.job.protocol,
        length=corpus.chunk_length,
        batch=prepared.batch,
        chunks=tuple(Chunk(index, scored) for index in corpus.indices),
    )
    computed = [row.setting.key for row in prepared.planned if row.same_as is None]
    # A setting can be a row and the control of another row: one computation all the same.
    return Grid((passage,), tuple(dict.fromkeys(computed)))


class CellScorer:
    """Scores what a run lacks and saves it.

    Args:
        prepared: The job, ready to be scored.
        device: What it is scored on.
        writer: The run's positions file, open; what it holds is not scored again.
        stop: Asked often; True interrupts the run.
        turns: The turns that sets of weights take; None where all are loaded.
        looks: When to look at what is scored, to drop settings or to stop; None for a run that
            scores every setting on every chunk.
        spread: Shares what is scored with other processes; None for a run that has none.

    Attributes:
        schedule: What is scored, what is not yet, and what was given up.
    """

    def __init__(
        self,
        prepared: Prepared,
        device: DeviceKind,
        writer: PositionsWriter,
        stop: Callable[[], bool],
        turns: Turns | None = None,
        looks: Looks | None = None,
        spread: Spread | None = None,
    ) -> None:
        self.prepared = prepared
        self.writer = writer
        self.stop = stop
        self.turns = turns
        self._looks = looks
        self._spread = spread
        self.schedule = Schedule(
            run_grid(prepared),
            writer.stored,
            prepared.size,
            None if turns is None else turns.settings,
        )
        self._metrics = Metrics.for_device(device)
        self._lanes: dict[str, SharingLane] = {lane.key: lane for lane in prepared.lanes()}
        self._rows = {chunk: row for row, chunk in enumerate(prepared.corpus.indices)}
        self._noise_is_measured = True
        self._at_once = 1
        self._with_engagement: set[str] = set()
        self._device = device
        self._store = CellStore(writer, prepared.corpus, prepared.job.roles)
        self._saver = Saver(
            background=choose_pipeline(device, prepared.size.batch).saves_in_background
        )

    def go_on_from(self, stored: Batches) -> None:
        """Take in what the run holds already: the events count it in.

        Args:
            stored: Its batches, by the setting they are stored under.
        """
        self._store.go_on_from(stored)

    def events(self) -> Iterator[Event]:
        """Score the missing cells; each is saved before its event is sent.

        Raises:
            Interrupted: ``stop`` said so.
            WillNotFit: Memory ran out too often.
        """
        with self._saver:
            try:
                while (shortage := (yield from self._missing())) is not None:
                    yield self._with_less(shortage)
            except Exception:
                # Whatever ends a run, what is saved by then is told.
                yield from self._saver.events(wait=True)
                raise
            yield from self._saver.events(wait=True)

    def _missing(self) -> Generator[Event, None, str | None]:
        """Score what is missing, in passes of the size that counts now.

        Returns:
            What the device said where memory ran out; what is saved by then is not scored again.
        """
        try:
            for chunks in self._limits():
                self.schedule.limit(chunks)
                yield from self._up_to_limit()
                if chunks is not None:
                    yield from self._look(chunks)
                if self.schedule.stopped_at is not None:
                    break
        except (MemoryError, RuntimeError, ValueError) as error:
            if not is_out_of_memory(error):
                raise
            # Only the text: the error's traceback holds every array of the pass.
            return first_line(error, empty="no message")
        return None

    def _limits(self) -> list[int | None]:
        """After how many chunks to look; at last None, for all chunks.

        A run that goes on looks again where it was last, and not before.
        """
        if self._looks is None or (self._looks.drops and not self.schedule.lacking_after(-1)):
            # Nothing would be saved by dropping a setting where none lacks a chunk.
            return [None]
        sizes = list(self._looks.sizes)
        seen = [size for size in sizes if self.schedule.has_looked(size)]
        return [*sizes[max(0, len(seen) - 1) :], None]

    def _look(self, chunks: int) -> Iterator[Event]:
        """Look at what is stored; drop the settings that cannot be the answer, or stop."""
        assert self._looks is not None
        yield from self._saver.events(wait=True)
        for event in self._looks.look(chunks):
            if isinstance(event, SettingDropped):
                self.drop_setting(event.setting)
            elif isinstance(event, Looked) and event.stops:
                self.schedule.stop(chunks)
            yield event

    def drop_setting(self, name: str) -> None:
        """Score a setting no further."""
        row = next((row for row in self.prepared.planned if row.setting.key == name), None)
        if row is not None and set(self._rows_of(row.computed_as.key)) <= {name}:
            self.schedule.drop(row.computed_as.key)

    def _up_to_limit(self) -> Iterator[Event]:
        if self.turns is None:
            yield from self._scored()
        else:
            yield from self._in_turns(self.turns)

    def _in_turns(self, turns: Turns) -> Iterator[Event]:
        """Score what is missing, one set of weights after the other."""
        for turn in range(len(turns.settings)):
            missing = self.schedule.begin(turn)
            if not turn:
                # Its layers are gone afterwards.
                limit = self.schedule.limit(None)
                yield from self._scored()
                later = [self._batch(part) for part in self.schedule.lacking_after(0)]
                yield from turns.keep_states(later)
                self.schedule.limit(limit)
            elif missing:
                probe = self._batch(self.schedule.lacking_after(turn - 1)[0])
                turns.release_reference(probe)
                try:
                    yield from turns.load(turn, probe)
                except (Interrupted, ModelChanged, WillNotFit):
                    raise
                except QfidError as error:
                    # Weights that cannot be scored cost nothing of the others.
                    turns.unload(turn)
                    for name in missing:
                        yield from self._give_up(name, error)
                    continue
                self._lanes |= {lane.key: lane for lane in self.prepared.lanes()}
                with turns.reading_ahead(turn):
                    yield from self._scored()
                    # A lane holds its model: what is saved needs it no more.
                    yield from self._saver.events(wait=True)
                    for name in turns.settings[turn]:
                        self._lanes.pop(name, None)

    def _with_less(self, shortage: str) -> Warned:
        workers = self._at_once
        self.schedule.shrink(shortage, workers)
        gc.collect()
        free_buffers()
        how = self.schedule.size.described()
        if workers > 1:
            how = f"with one batch at a time instead of {workers}"
        return Warned(f"memory ran out; going on {how}", shortage)

    def _tasks(self) -> Iterator[ScoreTask]:
        """What the schedule hands out, as tokens and lanes."""
        while (cells := self.schedule.next()) is not None:
            yield self._task(cells)

    def _task(self, cells: Cells) -> ScoreTask:
        return ScoreTask(self._batch(cells.batch), [self._lanes[name] for name in cells.settings])

    def _batch(self, part: GridBatch) -> Batch:
        corpus, chunks = self.prepared.corpus, part.chunks
        first = self._rows[chunks[0].index]
        rows = slice(first, first + len(chunks))
        first_scored = chunks[0].scored.start
        return Batch(corpus.indices[rows], corpus.ids[rows], first_scored, corpus.counted(rows))

    def _scored(self) -> Iterator[Event]:
        """Score and save what the schedule hands out."""
        size = self.schedule.size
        scorer: BatchScorer = batch_scorer(
            Scoring(
                self.prepared,
                None if self.turns is None else self.turns.reference,
                self._lanes,
                self._metrics,
                self._device,
                size,
                self.prepared.job.noise_floor if self._noise_is_measured else 0,
            ),
            self.stop,
            batches=self.schedule.lacking(size.workers),
        )
        if self._spread is not None:
            scorer = self._spread(scorer, size, self._lanes)
        self._at_once = scorer.at_once
        kept = size.workers * KEPT_BUFFERS if self._device == "cpu" else 0
        with keeping_buffers(kept):
            yield from self._taken_in(scorer.score(self._tasks()))

    def _taken_in(self, outcomes: Iterator[Outcome]) -> Iterator[Event]:
        """Save what is scored; tell of it and of what is not."""
        for outcome in outcomes:
            if isinstance(outcome, Told):
                yield outcome.event
            elif isinstance(outcome, PassDone):
                name = "" if outcome.lane is None else outcome.lane.key
                first, done, total = outcome.batch.chunks[0], outcome.done, outcome.total
                yield Progress(first, name, done, total, memory_in_use())
            elif isinstance(outcome, LaneFailed):
                yield from self._give_up(outcome.lane.key, outcome.error)
            elif isinstance(outcome, Scored):
                self._save(outcome)
                yield from self._saver.events()
            elif self._noise_is_measured:
                self._noise_is_measured = False
                yield Warned(
                    "the noise floor cannot be measured: this architecture embeds its tokens in "
                    "a way of its own",
                    "the other figures are not affected",
                )

    def _give_up(self, name: str, error: QfidError) -> Iterator[Event]:
        """Score no more of a computation; tell it of every setting that it belongs to."""
        self.schedule.give_up(name, error)
        for setting in dict.fromkeys((name, *self._rows_of(name))):
            yield SettingFailedEvent(setting, type(error).__name__, error.message, error.hint)

    def _save(self, scored: Scored) -> None:
        from scorer.runs.positions_format import StoredChunk

        name = scored.lane.key
        findings = scored.findings
        seconds = scored.seconds / len(scored.chunks)
        chunks = []
        for positions in scored.chunks:
            key = CellKey(name, int(positions.chunk[0]))
            if not self.schedule.mark_scored(key):
                continue
            first = name not in self._with_engagement
            self._with_engagement.add(name)
            facts = ChunkFacts(
                seconds=seconds,
                peak_memory_bytes=peak_memory(),
                smaller_pass=self._smaller_pass(),
                engagement=findings if first and isinstance(findings, Engagement) else None,
                perturbed=scored.perturbed.get(key.chunk, PerturbedRepeats()),
                roles=self._roles(key.chunk, positions),
            )
            chunks.append(StoredChunk(key, positions, facts))
        self._store.add(name, chunks, self._rows_of(name))
        self._saver.submit(self._store.store)

    def _roles(self, chunk: int, positions: Positions) -> RoleRuns:
        """Whose the positions of a chunk are; empty for a text without roles."""
        corpus = self.prepared.corpus
        if corpus.roles is None:
            return ()
        return runs_of(corpus.roles[self._rows[chunk]][positions.position], corpus.role_names)

    def _rows_of(self, computed: str) -> list[str]:
        """The settings of the report whose figures a setting computes, controls left out."""
        return [
            row.setting.key
            for row in self.prepared.planned
            if row.computed_as.key == computed and row.control_of is None
        ]

    def _smaller_pass(self) -> SmallerPass | None:
        """Set where less goes through at once than the run planned."""
        size, planned = self.schedule.size, self.prepared
        if size.batch >= planned.batch and size.tile_bytes >= planned.size.tile_bytes:
            return None
        return SmallerPass(min(size.batch, planned.batch), size.tile_bytes)
