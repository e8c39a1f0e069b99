"""Which chunks a saved run scores when it goes on: its own, and those added to them.

Pure standard library.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scorer.common.errors import InputError
from scorer.runs.identity import stored_batch

if TYPE_CHECKING:
    from scorer.runs.run import Run
    from scorer.spec.job import Job


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """How the chunks of a run are chosen.

    Attributes:
        kept: Chunks that keep their places, in scoring order; None where the job says all.
        grows: Whether chunks are added to these, as many as the job asks for.
    """

    kept: tuple[int, ...] | None = None
    grows: bool = True


NEW = ChunkPlan()
"""The plan of a new run."""


def chunk_plan(run: Run, job: Job) -> ChunkPlan:
    """The chunks of a saved run that goes on with a job.

    Its own stay, also where an earlier version chose them by another rule. Where the job asks for
    fewer, those stay that it asks for, and every one that is scored.

    Args:
        run: The saved run.
        job: What it goes on with.

    Raises:
        InputError: The job takes the chunks in another order.
        QfidError: Its positions cannot be read.
    """
    known = run.job
    if (job.protocol, job.chunk_length) != (known.protocol, known.chunk_length):
        # The text is cut otherwise: refused where the identities are compared.
        return NEW
    if job.chunks != known.chunks:
        raise InputError(
            f"run `{run.id}` takes its chunks in the order `{known.chunks}`, not `{job.chunks}`",
            "start a run of its own for it",
        )
    planned = run.readable_facts.chunks
    if planned is None:
        return NEW
    n = job.max_chunks
    if n == known.max_chunks:
        return ChunkPlan(planned, grows=False)
    if n is None or n >= len(planned):
        return ChunkPlan(planned)
    scored = set().union(*run.scored().values())
    least = max(n, 1 + max((i for i, chunk in enumerate(planned) if chunk in scored), default=0))
    return ChunkPlan(planned[: _whole_batches(run, least)], grows=False)


def _whole_batches(run: Run, n: int) -> int:
    batch = batch_of(run)
    return -(-n // batch) * batch


def batch_of(run: Run) -> int:
    """Chunks of a batch of a run where its numbers depend on it; else 1."""
    identity = run.readable_facts.identity
    return whole_batch(str(identity.get("device")).partition(" ")[0], stored_batch(identity) or 1)


def whole_batch(device: str, batch: int) -> int:
    """Of how many chunks a run has a multiple: those of a batch, or 1 on a CPU.

    On a GPU the shape of a pass moves the last bits of its numbers: chunks that are added must not
    complete a batch whose first chunks went through alone.

    Args:
        device: ``cpu``, ``metal`` or ``cuda``.
        batch: Chunks that go through the model together.
    """
    return 1 if device == "cpu" else batch


@dataclass(frozen=True, slots=True)
class AskedChunks:
    """What is asked of a saved run, and what it has.

    Attributes:
        asked: The first so many chunks of the run are asked for, in whole batches.
        planned: So many it has, scored or not.
        missing: Pairs of a setting and a chunk asked for that are not scored, those of settings
            that are scored no further left out.
    """

    asked: int
    planned: int
    missing: int

    @property
    def is_smaller(self) -> bool:
        """Whether the run has more than is asked for."""
        return self.asked < self.planned


def asked_chunks(
    run: Run, max_chunks: int | None, counted: Mapping[str, int] | None = None
) -> AskedChunks | None:
    """What a run has of the chunks that are asked for; None where it does not say.

    Args:
        run: The saved run.
        max_chunks: How many chunks are asked for; None for every chunk of the text.
        counted: How many chunks are stored of each setting, where no position is to be read: these
            are taken to be the first ones of the run, and intact. None to look.

    Raises:
        InputError: The run stops by itself, and another number of chunks is asked for.
        QfidError: Its positions cannot be read.
    """
    facts = run.readable_facts
    if run.job.until_settled and max_chunks != run.job.max_chunks:
        raise InputError(
            f"run `{run.id}` stops once it is settled: its looks belong to its own chunks",
            "score others in a run of their own, with `qfid kv`",
        )
    planned, total = facts.chunks, None
    corpus = None if facts.run is None else facts.run.corpus
    if corpus is not None and corpus.total_chunks is not None:
        total = corpus.total_chunks - len(corpus.chunks_left_out)
    if planned is None or (total is None and max_chunks is None):
        return None
    if max_chunks is None:
        asked = total or 0
    elif max_chunks == run.job.max_chunks:
        # As it was begun: earlier versions did not round.
        asked = len(planned)
    else:
        asked = _whole_batches(run, max_chunks)
        asked = asked if total is None else min(asked, total)
    stored: Mapping[str, Collection[int]]
    if counted is None:
        stored = run.scored()
    else:
        stored = {name: planned[:count] for name, count in counted.items()}
    dropped = run.dropped()
    names = [run.stored_as(s.key) for s in run.job.settings if s.key not in dropped]
    known = planned[:asked]
    missing = sum(asked - len(known) + _lacking(stored.get(name, ()), known) for name in names)
    return AskedChunks(asked, len(planned), missing)


def _lacking(stored: Collection[int], wanted: Collection[int]) -> int:
    return sum(chunk not in stored for chunk in wanted)
