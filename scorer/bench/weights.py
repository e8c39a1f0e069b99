"""How far scoring of several sets of weights is from its floor: ``--weights``.

Every setting needs one forward pass of its weights, and the reference one for all. In one process
and in turn, the chunks are run bare through these models, as often as scoring runs them, and scored
in full. In turns the reference's states are kept on disk, and each set of weights has its own way
over the chunks: the floor is the same and one tail of the reference for each. Loading is apart.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorer.bench.passes import (
    bare_passes,
    bare_states,
    bare_tail,
    batches_of,
    fastest,
    score_batches,
    seconds_of,
)
from scorer.bench.subject import Subject, subject_of
from scorer.common.folders import cache_folder, temporary_folder
from scorer.device.backend import Backend
from scorer.device.pipeline import choose_pipeline
from scorer.engine.preparation import Preparation
from scorer.lanes.base import Lane, ModelLane, ReferenceLane
from scorer.lanes.kept_reference import KeptReference
from scorer.lm.model_handle import ModelHandle
from scorer.metrics.reduce import Metrics
from scorer.spec.events import Loading
from scorer.spec.job import Job

if TYPE_CHECKING:
    from scorer.engine.prepared import Prepared
    from scorer.engine.tiles import Batch

_TIMED = ("bare", "together", "in turns", "tails")


def bench_weights(job: Job, backend: Backend, repeats: int) -> dict[str, Any]:
    """Measure a job that compares sets of weights, all of which are loaded.

    Returns:
        JSON values, times in seconds. ``ratio_to_bare``: all together ÷ the bare passes.
        ``ratio_in_turns``: in turns ÷ (the bare passes + one tail of the reference for each set of
        weights). ``loading_s``: by set of weights.

    Raises:
        QfidError: The model cannot be scored, or the weights do not fit together.
    """
    preparation = Preparation(job, backend, cache_folder() / "tokens")
    try:
        loading = _loading_seconds(preparation)
        prepared = preparation.result
        assert prepared is not None
        subject = subject_of(prepared)
        try:
            return {
                "model": subject.name,
                "device": backend.kind,
                "device_name": backend.name,
                "versions": backend.versions,
                "compute_dtype": subject.dtype,
                "settings": [lane.key for lane in subject.lanes],
                "chunk_length": int(subject.ids.shape[1]),
                "chunks": len(subject.ids),
                "batch": subject.size.batch,
                "repeats": repeats,
                "passes": len(subject.lanes) + 1,
                **_measured(prepared, subject, backend, repeats),
                "loading_s": {each.name: loading[each.name] for each in prepared.candidates},
            }
        finally:
            prepared.release()
    finally:
        preparation.close()


def _loading_seconds(preparation: Preparation) -> dict[str, float]:
    """Prepare; return the seconds that each model took to load, by its name."""
    found: dict[str, float] = {}
    name, since = "", time.perf_counter()
    for event in preparation.steps():
        if isinstance(event, Loading):
            now = time.perf_counter()
            found[name] = found.get(name, 0.0) + now - since
            name, since = event.detail if event.step == "model" else "", now
    return found


def _measured(
    prepared: Prepared, subject: Subject, backend: Backend, repeats: int
) -> dict[str, float | list[float]]:
    pipeline = choose_pipeline(backend.kind, subject.size.batch)
    batches = list(batches_of(subject))
    turns = list(_turns(prepared, subject))
    models = [replace(subject, reference=ReferenceLane(handle)) for handle in _handles(subject)]
    score = partial(score_batches, metrics=Metrics.for_device(backend.kind), pipeline=pipeline)

    def timed(piece: Sequence[Batch]) -> Iterator[float]:
        yield sum(seconds_of(bare_passes, model, piece) for model in models)
        yield seconds_of(score, subject, piece)
        with _kept(subject, behind=pipeline.tiles > 0) as reference:
            behind = [replace(subject, reference=reference, lanes=lanes) for lanes in turns]
            yield sum(seconds_of(score, each, piece) for each in behind)
        states = [bare_states(subject, batch) for batch in piece]
        tails = sum(seconds_of(bare_tail, subject, each) for each in states)
        yield tails * len(prepared.candidates)

    # Kernels are compiled, buffers filled and pages touched before anything is timed.
    for _ in timed(batches[:1]):
        pass
    # As where caches alone are measured: a CPU's speed changes within seconds.
    pieces = [batches] if pipeline.tiles else [[batch] for batch in batches]
    times: dict[str, list[list[float]]] = {name: [] for name in _TIMED}
    for _ in range(repeats):
        row = [dict(zip(_TIMED, timed(piece), strict=True)) for piece in pieces]
        for name, rows in times.items():
            rows.append([each[name] for each in row])
    best = {name: fastest(rows) for name, rows in times.items()}
    chunks = len(subject.ids)
    return {
        "ratio_to_bare": best["together"] / best["bare"],
        "ratio_of_each_repeat": [
            sum(together) / sum(bare)
            for bare, together in zip(times["bare"], times["together"], strict=True)
        ],
        "ratio_in_turns": best["in turns"] / (best["bare"] + best["tails"]),
        "bare_s_per_chunk": best["bare"] / chunks,
        "together_s_per_chunk": best["together"] / chunks,
        "in_turns_s_per_chunk": best["in turns"] / chunks,
        "reference_tails_s_per_chunk": best["tails"] / chunks,
    }


def _handles(subject: Subject) -> list[ModelHandle]:
    """The model of each pass: the reference's, and that of every lane."""
    return [subject.model, *(each.model for each in subject.lanes if isinstance(each, ModelLane))]


def _turns(prepared: Prepared, subject: Subject) -> Iterator[list[Lane]]:
    """The lanes of each turn that has any, those over the reference's own weights first."""
    weights = {row.setting.key: row.weights for row in prepared.planned}
    for source in (None, *(candidate.source for candidate in prepared.candidates)):
        lanes = [lane for lane in subject.lanes if weights[lane.key] == source]
        if lanes:
            yield lanes


@contextmanager
def _kept(subject: Subject, *, behind: bool) -> Iterator[KeptReference]:
    """The reference, its states kept in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="qfid-bench-", dir=temporary_folder()) as folder:
        states = Path(folder) / "states"
        yield KeptReference(ReferenceLane(subject.model), states, behind=behind)
