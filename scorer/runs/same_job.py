"""The saved run of the same job, the number of chunks apart: chunks can be added to it.

Pure standard library.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from scorer.common.errors import QfidError
from scorer.runs.chunk_plan import AskedChunks, asked_chunks
from scorer.runs.listing import newest_first, run_index
from scorer.runs.run import Run
from scorer.spec.job import STANDARD_INPUT

if TYPE_CHECKING:
    from scorer.runs.run_index import RunIndex
    from scorer.runs.run_info import RunInfo
    from scorer.spec.job import Job

_LOOKED_AT = 200
# What is stored of these is counted.
_COMPARED = 8
# No number depends on these.
_FREE = ("max_chunks", "settings", "force", "one_at_a_time", "deployment")


@dataclasses.dataclass(frozen=True, slots=True)
class SameJob:
    """A saved run, and what it has of the chunks of a job.

    Attributes:
        run: The run.
        job: The job as the run goes on with it.
        chunks: What is asked for and what is there.
    """

    run: Run
    job: Job
    chunks: AskedChunks


def run_of_job(
    job: Job, resolved: Callable[[Job], Job], *, any_order: bool = False
) -> SameJob | None:
    """The saved run of a job that lacks least of it; None where there is none.

    Whether model, text and arithmetic are still the same, and all that is stored intact, is seen
    when it goes on. Runs that a
    process writes to are left out, and so are those of a text from standard input, and those that
    are to have more chunks and lack some of these.

    Args:
        job: The job.
        resolved: Resolves its settings for the model; called where a run is of the same model.
        any_order: The order of the chunks does not matter, as where all are asked for.
    """
    if job.corpus.source == STANDARD_INPUT:
        return None
    found: list[SameJob] = []
    with contextlib.suppress(QfidError, OSError):
        runs = _runs_of(job, resolved, any_order=any_order)
        for run, info in itertools.islice(runs, _COMPARED):
            with contextlib.suppress(QfidError):
                chunks = asked_chunks(run, job.max_chunks, _counts(run, info))
                if chunks is not None and not (chunks.is_smaller and chunks.missing):
                    same = dataclasses.replace(job, chunks=run.job.chunks)
                    found.append(SameJob(run, same, chunks))
    # Of equals the one with more chunks, then the newest, which comes first.
    return min(found, key=lambda each: (each.chunks.missing, -each.chunks.planned), default=None)


def _counts(run: Run, info: RunInfo) -> dict[str, int]:
    """How many chunks are stored of each setting; no position of a long run is read for it."""
    known, path = run.state().counted, run.positions_path
    if path.exists() and known.size == path.stat().st_size:
        return dict(known.chunks)
    # Settings go on side by side.
    each = info.chunks_done // len(info.settings)
    return {run.stored_as(name): each for name in info.settings}


def _runs_of(
    job: Job, resolved: Callable[[Job], Job], *, any_order: bool
) -> Iterator[tuple[Run, RunInfo]]:
    """The runs of a job, the number of chunks apart, newest first."""
    index = run_index(job.model)
    try:
        yield from _same(index, job, resolved, any_order=any_order)
    finally:
        # Also where the caller has seen enough.
        index.save()


def _same(
    index: RunIndex, job: Job, resolved: Callable[[Job], Job], *, any_order: bool
) -> Iterator[tuple[Run, RunInfo]]:
    keys: set[str] = set()
    for listed in itertools.islice(newest_first(index), _LOOKED_AT):
        info = listed.info
        if info.model != job.model or info.state not in ("finished", "unfinished"):
            continue
        keys = keys or {setting.key for setting in resolved(job).settings}
        if info.read_only or set(info.settings) != keys:
            continue
        with contextlib.suppress(QfidError):
            run = Run(info.path)
            if _is_same(job, run.job, any_order=any_order):
                yield run, info


def _is_same(one: Job, other: Job, *, any_order: bool) -> bool:
    free = (*_FREE, "chunks") if any_order else _FREE
    return dataclasses.replace(one, **{name: getattr(other, name) for name in free}) == other
