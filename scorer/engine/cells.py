"""The batch grid of a run: its missing cells scored one after the other, each saved at once."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import mlx.core as mx

from scorer.common.device_kind import DeviceKind
from scorer.common.errors import Interrupted, QfidError, SettingFailed, WillNotFit
from scorer.common.out_of_memory import is_out_of_memory
from scorer.device.memory import memory_in_use, peak_memory
from scorer.device.pipeline import choose_pipeline
from scorer.engine.loop import LaneFailed, Loop, Pass, Scored, Work
from scorer.engine.preparation import Prepared
from scorer.engine.saving import Saver
from scorer.engine.tiles import Batch
from scorer.lanes.base import ReferenceLane
from scorer.lanes.kv.lane import KVLane
from scorer.lanes.noise import EmbeddingNoise, PerturbedLane, PerturbedReference
from scorer.metrics.reduce import Metrics
from scorer.runs.facts import SMALLER_PASS
from scorer.spec.events import Event, Progress, SettingFailedEvent, Warned
from scorer.stats.chunk_event import chunk_event
from scorer.stats.positions import Positions

if TYPE_CHECKING:
    from scorer.runs.positions_file import PositionsWriter

SHORTAGES = 2
"""How often a run that is out of memory goes on with less at once."""

KLSums = dict[tuple[str, int], list[float]]
"""Sums of KL over a chunk, nats, one of each perturbed repeat, by setting and chunk."""


class Cells:
    """Scores what a run lacks.

    Attributes:
        size: How much goes through the model at once now; the grid stays what it was.
        failed: Settings given up so far.
    """

    def __init__(
        self,
        prepared: Prepared,
        device: DeviceKind,
        writer: PositionsWriter,
        done: dict[str, set[int]],
        stop: Callable[[], bool],
    ) -> None:
        self.prepared = prepared
        self.writer = writer
        self.done = done
        self.stop = stop
        self.size = prepared.size
        self.failed: dict[str, SettingFailed] = {}
        self._metrics = Metrics.for_device(device)
        self._lanes = prepared.lanes()
        self._repeats = prepared.job.noise_floor
        self._told: set[str] = set()
        self._shortages = 0
        self._device = device
        self._saver = Saver(background=choose_pipeline(device, self.size.batch).saves_aside)

    def events(self) -> Iterator[Event]:
        """Score the missing cells; each is saved before its event is sent.

        Raises:
            Interrupted: ``stop`` said so.
            WillNotFit: Memory ran out once more than :data:`SHORTAGES` times.
        """
        with self._saver:
            try:
                while (shortage := (yield from self._missing())) is not None:
                    yield self._with_less(shortage)
            except Interrupted:
                yield from self._saver.events(wait=True)
                raise
            yield from self._saver.events(wait=True)

    def _missing(self) -> Generator[Event, None, str | None]:
        """Score what is missing, in passes of the size that counts now.

        Returns:
            What the device said where memory ran out; what is saved by then is not scored again.
        """
        try:
            if self._repeats:
                for work in self._works():
                    yield from self._repeated(work)
            else:
                yield from self._plainly(self._works())
        except (MemoryError, RuntimeError, ValueError) as error:
            if not is_out_of_memory(error):
                raise
            # Only the text: the error's traceback holds every array of the pass.
            return (str(error).strip().splitlines() or ["no message"])[0]
        return None

    def _works(self) -> Iterator[Work]:
        """The batches that lack something, cut from the grid's cells, and the lanes they lack."""
        corpus, cell, size = self.prepared.corpus, self.prepared.batch, self.size.batch
        count = len(corpus.indices)
        for start in range(0, count, cell):
            stop = min(start + cell, count)
            for first in range(start, stop, size):
                part = slice(first, min(first + size, stop))
                batch = Batch(corpus.indices[part], corpus.ids[part], corpus.scored_from)
                if lanes := self._pending(batch):
                    yield Work(batch, lanes)

    def _pending(self, batch: Batch) -> list[KVLane]:
        return [
            lane
            for lane in self._lanes
            if str(lane.setting) not in self.failed
            and not self.done.get(str(lane.setting), set()).issuperset(batch.chunks)
        ]

    def _with_less(self, shortage: str) -> Warned:
        self._shortages += 1
        smaller = self.size.smaller()
        if self._shortages > SHORTAGES or smaller is None:
            raise WillNotFit(
                f"memory ran out {self._shortages} times; the last time: {shortage}",
                "everything scored is saved; score with shorter chunks (--chunk-length), or free "
                "memory and resume",
            )
        self.size = smaller
        gc.collect()
        mx.clear_cache()
        return Warned(f"memory ran out; going on {smaller.described()}", shortage)

    def _loop(self, reference: ReferenceLane) -> Loop:
        pipeline = choose_pipeline(self._device, self.size.batch)
        self.prepared.split.layers_ahead = pipeline.layers
        return Loop(
            reference,
            self._metrics,
            self.prepared.vocab,
            self.stop,
            tile_bytes=self.size.tile_bytes,
            keep_bytes=self.size.keep_bytes,
            ahead=pipeline.tiles,
        )

    def _plainly(
        self, works: Iterable[Work], sums: KLSums | None = None, repeats: int = 0
    ) -> Iterator[Event]:
        """Score batches, perturbed repeats of which there may have been some."""
        for outcome in self._loop(self.prepared.reference).score(works):
            if isinstance(outcome, Pass):
                yield _progress(outcome, repeats, repeats)
            elif isinstance(outcome, LaneFailed):
                yield self._setting_failed(outcome.lane, outcome.error)
            else:
                self._save(outcome, sums or {})
                yield from self._saver.events()

    def _repeated(self, work: Work) -> Iterator[Event]:
        repeats = self._repeats
        sums = yield from self._perturbed(work, repeats)
        yield from self._plainly([work], sums, repeats)

    def _perturbed(self, work: Work, repeats: int) -> Generator[Event, None, KLSums]:
        """Score a batch with perturbed embeddings, as often as the noise floor asks for.

        Returns:
            KL sums, nats, by setting and chunk.
        """
        sums: KLSums = {}
        batch = work.batch
        for repeat in range(repeats):
            noise = EmbeddingNoise(repeat, batch.chunks, batch.ids.shape[1] - 1)
            reference = PerturbedReference(self.prepared.reference, noise)
            perturbed = Work(batch, [PerturbedLane(lane, noise) for lane in work.lanes])
            for outcome in self._loop(reference).score([perturbed]):
                if isinstance(outcome, Pass):
                    yield _progress(outcome, repeat, repeats)
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
                self._repeats = 0
                return {}
        return sums

    def _setting_failed(self, lane: KVLane, error: QfidError) -> SettingFailedEvent:
        name = str(lane.setting)
        self.failed[name] = SettingFailed(error.message, error.hint)
        return SettingFailedEvent(name, type(error).__name__, error.message, error.hint)

    def _save(self, scored: Scored, sums: KLSums) -> None:
        name = str(scored.lane.setting)
        rows = [row for row in self.prepared.planned if row.computed_as == scored.lane.setting]
        already = self.done.setdefault(name, set())
        seconds = scored.seconds / len(scored.chunks)
        told = [str(row.setting) for row in rows if row.control_of is None]
        batches = []
        for positions in scored.chunks:
            chunk = int(positions.chunk[0])
            if chunk in already:
                continue
            facts: dict[str, Any] = {"seconds": seconds, "peak_memory_bytes": peak_memory()}
            facts |= self._smaller_pass()
            if name not in self._told and scored.lane.engagement is not None:
                facts["engagement"] = scored.lane.engagement.to_json()
            if (name, chunk) in sums:
                facts["perturbed_kl_sums"] = sums[name, chunk]
            self._told.add(name)
            already.add(chunk)
            batches.append((name, positions, facts))
        self._saver.give(partial(self._saved, batches, told, seconds))

    def _smaller_pass(self) -> dict[str, Any]:
        """What is stored with a chunk that was scored with less at once than the run planned."""
        size, planned = self.size, self.prepared
        if size.batch >= planned.batch and size.tile_bytes >= planned.size.tile_bytes:
            return {}
        batch = min(size.batch, planned.batch)
        return {SMALLER_PASS: {"batch": batch, "tile_bytes": size.tile_bytes}}

    def _saved(
        self,
        batches: Sequence[tuple[str, Positions, dict[str, Any]]],
        told: list[str],
        seconds: float,
    ) -> list[Event]:
        self.writer.append_all(batches)
        return [
            chunk_event(setting, positions, seconds)
            for _, positions, _ in batches
            for setting in told
        ]


def _progress(made: Pass, repeat: int, repeats: int) -> Progress:
    """How far a batch is: in the pass ``repeat`` of all the ``repeats`` there are and the last."""
    name = "" if made.lane is None else str(made.lane.setting)
    done, passes = repeat * made.total + made.done, (repeats + 1) * made.total
    return Progress(made.batch.chunks[0], name, done, passes, memory_in_use())
