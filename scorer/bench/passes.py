"""What a benchmark times: bare passes over chunks, and their scoring in full."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorer.common.errors import SettingFailed
from scorer.common.folders import temporary_folder
from scorer.device.pipeline import Pipeline

if TYPE_CHECKING:
    import mlx.core as mx

    from scorer.bench.shares import Clock
    from scorer.bench.subject import Subject
    from scorer.engine.tiles import Batch
    from scorer.metrics.reduce import Metrics
    from scorer.spec.events import Event

_WHOLE_LOGITS = 1 << 30


def fastest(repeats: Sequence[Sequence[float]]) -> float:
    """Seconds of all pieces, of each the fastest of its repeats."""
    total: float = sum(min(times) for times in zip(*repeats, strict=True))
    return total


def seconds_of(work: Any, *arguments: Any, **options: Any) -> float:
    """What a call takes."""
    start = time.perf_counter()
    work(*arguments, **options)
    return time.perf_counter() - start


def batches_of(subject: Subject) -> Iterator[Batch]:
    """The subject's chunks, batch by batch."""
    from scorer.engine.tiles import Batch

    size = subject.size.batch
    for start in range(0, len(subject.ids), size):
        part = subject.ids[start : start + size]
        yield Batch(tuple(range(start, start + len(part))), part, subject.first)


def _queue_layers(subject: Subject, layers: int) -> None:
    """Let so many layers of every model be queued on a GPU."""
    from scorer.lanes.base import ModelLane

    subject.model.split.layers_ahead = layers
    for lane in (subject.reference, *subject.lanes):
        if isinstance(lane, ModelLane):
            lane.split.layers_ahead = layers


def bare_passes(subject: Subject, batches: Sequence[Batch]) -> None:
    """One forward pass of the reference each; logits whole where they take no more than 1 GiB."""
    _queue_layers(subject, 0)
    for batch in batches:
        bare_tail(subject, bare_states(subject, batch))


def bare_states(subject: Subject, batch: Batch) -> mx.array:
    """Final hidden states (B, T, H) of the reference, compute dtype, evaluated."""
    import mlx.core as mx

    from scorer.lanes.base import completed

    return completed(subject.reference.begin(mx.array(batch.ids[:, :-1])))[0]


def bare_tail(subject: Subject, hidden: mx.array) -> None:
    """Compute the logits of states (B, T, H), and drop them."""
    import mlx.core as mx

    size, positions, _ = hidden.shape
    row_bytes = size * subject.vocab * hidden.dtype.size
    step = positions
    if row_bytes * positions > _WHOLE_LOGITS:
        step = max(1, subject.size.tile_bytes // row_bytes)
    for start in range(0, positions, step):
        mx.eval(subject.reference.logits(hidden, start, min(start + step, positions)))


def score_batches(
    subject: Subject,
    batches: Sequence[Batch],
    metrics: Metrics,
    *,
    pipeline: Pipeline,
    clock: Clock | None = None,
) -> None:
    """Score batches with every setting and save what comes out, as a run does.

    Args:
        subject: What is scored.
        batches: The chunks.
        metrics: How logits become scalars.
        pipeline: What is started before the last is waited for, saving included.
        clock: Counts the seconds of saving.

    Raises:
        SettingFailed: A setting gave no usable number.
    """
    from scorer.bench.shares import SAVING
    from scorer.engine.loop import Loop
    from scorer.engine.outcomes import LaneFailed, Scored, ScoreTask
    from scorer.engine.saving import Saver
    from scorer.runs.chunk_facts import ChunkFacts
    from scorer.runs.grid import CellKey
    from scorer.runs.positions_file import PositionsWriter
    from scorer.runs.positions_format import StoredChunk

    def saved(writer: PositionsWriter, scored: Scored) -> list[Event]:
        with clock.running(SAVING) if clock else nullcontext():
            name = scored.lane.key
            writer.append_all(
                [
                    StoredChunk(CellKey(name, int(positions.chunk[0])), positions, ChunkFacts())
                    for positions in scored.chunks
                ]
            )
        return []

    with (
        tempfile.TemporaryDirectory(prefix="qfid-bench-", dir=temporary_folder()) as folder,
        PositionsWriter(Path(folder) / "positions.arrow") as writer,
        Saver(background=pipeline.saves_in_background) as saver,
    ):
        _queue_layers(subject, pipeline.layers)
        loop = Loop(
            subject.reference,
            metrics,
            subject.vocab,
            lambda: False,
            tile_bytes=subject.size.tile_bytes,
            keep_bytes=subject.size.keep_bytes,
            ahead=pipeline.tiles,
        )
        for outcome in loop.score(ScoreTask(batch, subject.lanes) for batch in batches):
            if isinstance(outcome, LaneFailed):
                raise SettingFailed(outcome.error.message, outcome.error.hint)
            if isinstance(outcome, Scored):
                saver.submit(partial(saved, writer, outcome))
        for _ in saver.events(wait=True):
            pass
