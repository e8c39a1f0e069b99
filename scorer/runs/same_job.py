"""The saved run of the same job, the number of chunks apart: chunks can be added to it.

Pure standard library.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

from scorer.common.errors import QfidError
from scorer.runs.chunk_plan import AskedChunks, asked_chunks
from scorer.runs.listing import newest_first, run_index
from scorer.runs.run import Run
from scorer.spec.job import STANDARD_INPUT

if TYPE_CHECKING:
    from scorer.spec.job import Job

_LOOKED_AT = 200
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
    """The saved run of a job that has most chunks; None where there is none.

    Whether model, text and arithmetic are still the same is seen when it goes on. Runs that a
    process writes to are left out, and so are those of a text from standard input.

    Args:
        job: The job.
        resolved: Resolves its settings for the model; called where a run is of the same model.
        any_order: The order of the chunks does not matter, as where all are asked for.
    """
    if job.corpus.source == STANDARD_INPUT:
        return None
    found: list[tuple[int, Run]] = []
    keys: set[str] = set()
    try:
        index = run_index(job.model)
        for listed in itertools.islice(newest_first(index), _LOOKED_AT):
            info = listed.info
            if info.model != job.model or info.state not in ("finished", "unfinished"):
                continue
            keys = keys or {setting.key for setting in resolved(job).settings}
            if info.read_only or set(info.settings) != keys:
                continue
            with contextlib.suppress(QfidError):
                run = Run(info.path)
                planned = run.readable_facts.chunks
                if planned is not None and _is_same(job, run.job, any_order=any_order):
                    found.append((len(planned), run))
        index.save()
    except (QfidError, OSError):
        return None
    if not found:
        return None
    # Of equals the newest, which comes first.
    run = max(found, key=lambda each: each[0])[1]
    try:
        chunks = asked_chunks(run, job.max_chunks)
    except QfidError:
        return None
    if chunks is None:
        return None
    return SameJob(run, dataclasses.replace(job, chunks=run.job.chunks), chunks)


def _is_same(one: Job, other: Job, *, any_order: bool) -> bool:
    free = (*_FREE, "chunks") if any_order else _FREE
    return dataclasses.replace(one, **{name: getattr(other, name) for name in free}) == other
