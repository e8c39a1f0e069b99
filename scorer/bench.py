"""How far scoring is from its floor: ``python -m scorer.bench``.

N settings need N + 1 forward passes; everything else is overhead. In one process and in turn, each
batch of chunks is run bare (full-precision cache, logits evaluated and dropped) and scored in full,
saving included. ``ratio_to_bare`` is scoring ÷ ((N + 1) × bare), of the fastest repeat of each.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorer.backend import Backend, start_backend
from scorer.bench_options import add_options
from scorer.errors import InputError, QfidError, SettingFailed
from scorer.job import CorpusSpec, Job, parse_settings

if TYPE_CHECKING:
    from scorer.bench_subject import Subject
    from scorer.kernels import Metrics
    from scorer.loop import Batch

_WHOLE_LOGITS = 1 << 30


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print.

    Returns:
        0, or the exit code of what went wrong.
    """
    parser = argparse.ArgumentParser(prog="python -m scorer.bench", description=__doc__)
    add_options(parser)
    args = parser.parse_args(arguments)
    try:
        result = bench(args)
    except QfidError as error:
        hint = f"\nhint: {error.hint}" if error.hint else ""
        print(f"error: {error.message}{hint}", file=sys.stderr)
        return error.exit_code
    if args.format == "json":
        print(json.dumps(result, indent=2))
    else:
        from scorer.bench_table import to_markdown

        print("\n".join(to_markdown(result)))
    return 0


def job_of(args: argparse.Namespace) -> Job:
    """What is to be measured, as a job.

    Raises:
        InputError: A setting or a number is not valid.
    """
    if args.max_chunks < 1 or args.repeats < 1:
        raise InputError("--max-chunks and --repeats are at least 1")
    return Job(
        model=args.model or args.shape,
        settings=parse_settings(args.kv_bits, path=args.path),
        corpus=CorpusSpec("builtin" if args.model == "demo" else "wikitext2"),
        chunk_length=args.chunk_length,
        max_chunks=args.max_chunks,
        batch=args.batch,
    )


def bench(args: argparse.Namespace) -> dict[str, Any]:
    """Measure what the options ask for.

    Returns:
        JSON values; times in seconds, memory in bytes. ``share``: of one scoring pass with a wait
        after each step.

    Raises:
        QfidError: The model cannot be scored, or a setting gave no number.
    """
    job = job_of(args)
    backend = start_backend()
    from scorer.mlx_lm_import import import_mlx_lm

    import_mlx_lm(light=True)
    from scorer.bench_subject import cached_subject, random_subject
    from scorer.kernels import Metrics

    if args.shape:
        subject = random_subject(args.shape, job, backend)
    else:
        subject = cached_subject(job, backend)
    metrics = Metrics.for_device(backend.kind)
    return {
        "model": subject.name,
        "device": backend.kind,
        "device_name": backend.name,
        "versions": backend.versions,
        "compute_dtype": subject.dtype,
        "settings": [str(lane.setting) for lane in subject.lanes],
        "path": args.path,
        "chunk_length": int(subject.ids.shape[1]),
        "chunks": len(subject.ids),
        "batch": subject.size.batch,
        "repeats": args.repeats,
        **_measured(subject, metrics, backend, args.repeats),
    }


def _measured(subject: Subject, metrics: Metrics, backend: Backend, repeats: int) -> dict[str, Any]:
    from scorer.bench_memory import PeakMemory
    from scorer.bench_shares import QUANTIZED, REFERENCE, Clock, TimedLane, TimedMetrics

    batches = list(_batches(subject))
    peak = PeakMemory(backend.kind)
    # Kernels are compiled, buffers filled and pages touched before anything is timed.
    _bare(subject, batches[0])
    _score(subject, batches[0], metrics)
    bare: list[list[float]] = []
    scoring: list[list[float]] = []
    for _ in range(repeats):
        bare.append([])
        scoring.append([])
        for batch in batches:
            bare[-1].append(_seconds(_bare, subject, batch))
            peak.reset()
            scoring[-1].append(_seconds(_score, subject, batch, metrics))
            peak.note()
    clock = Clock()
    timed_lanes = [TimedLane(lane, clock, QUANTIZED) for lane in subject.lanes]
    start = time.perf_counter()
    for batch in batches:
        _score(
            subject,
            batch,
            TimedMetrics(metrics, clock),
            TimedLane(subject.reference, clock, REFERENCE),
            timed_lanes,
            clock,
        )
    total = time.perf_counter() - start
    chunks, passes = len(subject.ids), len(subject.lanes) + 1
    best_bare, best_scoring = (sum(map(min, zip(*runs, strict=True))) for runs in (bare, scoring))
    tokens = subject.ids.shape[1] - 1
    return {
        "ratio_to_bare": best_scoring / (passes * best_bare),
        "ratio_of_each_repeat": [
            sum(s) / (passes * sum(b)) for b, s in zip(bare, scoring, strict=True)
        ],
        "bare_s_per_chunk": best_bare / chunks,
        "scoring_s_per_chunk": best_scoring / chunks,
        "scoring_s_per_chunk_and_setting": best_scoring / chunks / len(subject.lanes),
        "share": clock.shares(total),
        "tokens_per_s": {
            "bare": chunks * tokens / best_bare,
            "scoring": chunks * tokens * passes / best_scoring,
        },
        "peak_bytes_above_weights": peak.above,
    }


def _seconds(work: Any, *arguments: Any) -> float:
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def _batches(subject: Subject) -> Iterator[Batch]:
    from scorer.loop import Batch

    size = subject.size.batch
    for start in range(0, len(subject.ids), size):
        part = subject.ids[start : start + size]
        yield Batch(tuple(range(start, start + len(part))), part, subject.first)


def _bare(subject: Subject, batch: Batch) -> None:
    """One forward pass of the reference; logits whole where they take no more than 1 GiB."""
    import mlx.core as mx

    tokens = mx.array(batch.ids[:, :-1])
    size, positions = tokens.shape
    hidden = subject.reference.hidden(tokens)
    row_bytes = size * subject.vocab * hidden.dtype.size
    step = positions
    if row_bytes * positions > _WHOLE_LOGITS:
        step = max(1, subject.size.tile_bytes // row_bytes)
    for start in range(0, positions, step):
        mx.eval(subject.reference.logits(hidden, start, min(start + step, positions)))


def _score(
    subject: Subject,
    batch: Batch,
    metrics: Metrics,
    reference: Any = None,
    lanes: Any = None,
    clock: Any = None,
) -> None:
    """Score one batch with every setting and save what comes out."""
    from contextlib import nullcontext

    from scorer.arrow_stream import PositionsWriter
    from scorer.loop import LaneFailed, Scored, score_batch

    with tempfile.TemporaryDirectory(prefix="qfid-bench-") as folder:
        with PositionsWriter(Path(folder) / "positions.arrow") as writer:
            for outcome in score_batch(
                reference or subject.reference,
                lanes or subject.lanes,
                batch,
                metrics,
                subject.vocab,
                lambda: False,
                tile_bytes=subject.size.tile_bytes,
                keep_bytes=subject.size.keep_bytes,
            ):
                if isinstance(outcome, LaneFailed):
                    raise SettingFailed(outcome.error.message, outcome.error.hint)
                if isinstance(outcome, Scored):
                    with clock.running("saving") if clock else nullcontext():
                        for positions in outcome.chunks:
                            writer.append(str(outcome.lane.setting), positions, {})


if __name__ == "__main__":
    sys.exit(main())
