"""How well ranks share a run: ``qfid bench --ranks 1,2``.

The scorer's child process scores the same job with each number of ranks, alternating. Efficiency is
rate(n) ÷ (n · rate(1)), for three times: after the first batch of each rank, in which a GPU loads
its kernels; from the plan of the run to its last saved chunk; and with the start: processes, model,
text, meeting.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorer.bench.timed_child import NO_BATCH, timed_child
from scorer.common.errors import InputError, QfidError
from scorer.common.folders import temporary_folder
from scorer.demo.corpus import builtin_documents
from scorer.spec.events import ChunkScored, Finished, Planned, RanksScored
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.ranks import local_ranks

if TYPE_CHECKING:
    from scorer.device.backend import Backend

# Chunks of 512 tokens that the built-in text has, with the demo's tokenizer.
_CHUNKS_OF_TEXT = 100
_TOKENS = 512


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of a child.

    Attributes:
        start: Seconds from the start of the process to the plan.
        scoring: From there to the last saved chunk.
        first: Of these, those until rank 0 has saved its first batch.
        gathered: Bytes of the messages of all ranks while it scored.
        batch: Chunks of a batch.
    """

    start: float
    scoring: float
    first: float
    gathered: int
    batch: int = 1

    def rate_after_first(self, ranks: int, chunks: int) -> float | None:
        """Chunks a second once each rank is through its first batch; None where nothing is left."""
        left, seconds = chunks - ranks * self.batch, self.scoring - self.first
        return left / seconds if left > 0 and seconds > 0 else None


def rank_counts(text: str) -> list[int]:
    """Read ``1,2,4``.

    Raises:
        InputError: It is no list of numbers that begins with 1.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) for word in words) or words[0] != "1":
        raise InputError(
            f"`{text}` is no list of ranks that begins with one",
            "--ranks 1,2 compares two with one",
        )
    return [int(word) for word in dict.fromkeys(words)]


def measured_ranks(
    job: Job, shape: str | None, backend: Backend, counts: Sequence[int], repeats: int
) -> list[dict[str, Any]]:
    """Score a job with each number of ranks.

    Args:
        job: What to score; its model and text are replaced where there is a shape.
        shape: Name of a shape of :mod:`scorer.bench.shapes`; None for the job's own model.
        backend: The device, for the dtype of random weights.
        counts: Numbers of ranks, 1 first.
        repeats: Alternating runs of each; the fastest scoring, and the fastest whole, count.

    Returns:
        For each count ``ranks``, ``start_s``, ``first_batch_s``, ``scoring_s`` and ``whole_s``
        (seconds, the last from the start of the process), ``efficiency_after_first_batch`` (None
        where there is no more than that), ``efficiency``, ``efficiency_with_start`` and
        ``gathered_bytes_per_chunk``.

    Raises:
        QfidError: A child ended without a report.
    """
    from scorer.bench.start import write_model

    with tempfile.TemporaryDirectory(prefix="qfid-ranks-", dir=temporary_folder()) as folder:
        if shape is not None:
            path, text = Path(folder) / shape, Path(folder) / "text.txt"
            write_model(shape, path, backend)
            _write_text(text, (job.max_chunks or 1) * job.chunk_length)
            job = replace(job, model=str(path), corpus=CorpusSpec(str(text)))
        data = Path(folder) / "data"
        # Compiled kernels, hashes and tokens are kept from here on.
        for count in counts:
            _run(replace(job, max_chunks=count * (job.batch or 1)), count, data, whole=True)
        runs: dict[int, list[_Run]] = {count: [] for count in counts}
        for _ in range(repeats):
            for count in counts:
                runs[count].append(_run(job, count, data))
    return list(_rows(runs, job.max_chunks or 1))


def _rows(runs: dict[int, list[_Run]], chunks: int) -> Sequence[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    alone: float | None = None
    for count, each in runs.items():
        scoring = min(run.scoring for run in each)
        whole = min(run.start + run.scoring for run in each)
        rates = [rate for run in each if (rate := run.rate_after_first(count, chunks))]
        rate = max(rates, default=None)
        alone = alone if found else rate
        first = found[0] if found else {"scoring_s": scoring, "whole_s": whole}
        found.append(
            {
                "ranks": count,
                "start_s": min(run.start for run in each),
                "first_batch_s": min(run.first for run in each),
                "scoring_s": scoring,
                "whole_s": whole,
                "efficiency_after_first_batch": rate / (count * alone) if rate and alone else None,
                "efficiency": first["scoring_s"] / (count * scoring),
                "efficiency_with_start": first["whole_s"] / (count * whole),
                "gathered_bytes_per_chunk": min(run.gathered for run in each) / chunks,
            }
        )
    return found


def _run(job: Job, ranks: int, data: Path, *, whole: bool = False) -> _Run:
    """Score a job in a child.

    Args:
        job: The job.
        ranks: How many processes share it.
        data: The child's data folder.
        whole: Wait for the report too, which a long run takes seconds for.

    Raises:
        QfidError: It failed.
    """
    request = job.to_json()
    if (shared := local_ranks(ranks)) is not None:
        request["ranks"] = shared.to_json()
    planned: Planned | None = None
    began = first = last = 0.0
    scored = gathered = others = cells = 0
    with timed_child(request, data, kill=not whole) as events:
        for event, now in events:
            if isinstance(event, Planned):
                planned, began = event, now
                cells = len(event.chunks) * len(event.settings)
            elif isinstance(event, ChunkScored):
                scored, last = scored + 1, now
                if planned and scored == planned.batch * len(planned.settings):
                    first = now
            elif isinstance(event, RanksScored):
                gathered, others = event.gathered, sum(event.cells)
            is_gathered = ranks == 1 or others == cells
            is_over = planned is not None and scored == cells and is_gathered and not whole
            if is_over or isinstance(event, Finished):
                break
    if planned is None or not scored:
        raise QfidError(*NO_BATCH)
    return _Run(began, last - began, (first or last) - began, gathered, planned.batch)


def _write_text(path: Path, tokens: int) -> None:
    """A text of at least so many tokens: the built-in one, as often as it takes, no line twice."""
    lines = [line for _, text in builtin_documents() for line in text.splitlines() if line]
    times = 1 + tokens // (_CHUNKS_OF_TEXT * _TOKENS)
    numbered = (f"{number} {line}" for number in range(times) for line in lines)
    path.write_text("\n".join(numbered), encoding="utf-8")
