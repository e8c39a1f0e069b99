"""How far scoring is from its floor: ``python -m scorer.bench``.

N settings need N + 1 forward passes; everything else is overhead. In one process and in turn, the
chunks are run bare (full-precision cache, logits evaluated and dropped) and scored in full, saving
included. ``ratio_to_bare`` is scoring ÷ ((N + 1) × bare): bare passes are made as often as scoring
makes them, and of both the fastest repeat counts.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scorer.bench.options import DEFAULT_SETTINGS, add_options
from scorer.bench.passes import bare_passes, batches_of, fastest, score_batches, seconds_of
from scorer.bench.saved_report import bench_report
from scorer.common.errors import InputError, QfidError
from scorer.device.backend import Backend, running_backend
from scorer.device.pipeline import PLAIN, choose_pipeline
from scorer.device.threads import worker_count
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.grid import grid_settings, ladder
from scorer.spec.settings.registry import parse_settings
from scorer.spec.settings.weights import caches_of

if TYPE_CHECKING:
    from scorer.bench.subject import Subject
    from scorer.metrics.reduce import Metrics


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print.

    Returns:
        0, or the exit code of what went wrong.
    """
    parser = argparse.ArgumentParser(prog="python -m scorer.bench", description=__doc__)
    add_options(parser)
    args = parser.parse_args(arguments)
    try:
        if args.report is not None:
            result = bench_report(args)
        else:
            timed = bench_start if args.start else bench_ranks if args.ranks else bench
            result = timed(args)
    except QfidError as error:
        hint = f"\nhint: {error.hint}" if error.hint else ""
        print(f"error: {error.message}{hint}", file=sys.stderr)
        return error.exit_code
    if args.format == "json":
        print(json.dumps(result, indent=2))
    else:
        from scorer.bench import table

        form = table.start_to_markdown if args.start else table.to_markdown
        if args.ranks is not None:
            form = table.ranks_to_markdown
        if args.report is not None:
            form = table.report_to_markdown
        elif args.weights is not None:
            form = table.weights_to_markdown
        print("\n".join(form(result)))
    return 0


def job_of(args: argparse.Namespace) -> Job:
    """What is to be measured, as a job.

    Raises:
        InputError: A setting or a number is not valid.
    """
    if args.max_chunks < 1 or args.repeats < 1:
        raise InputError("--max-chunks and --repeats are at least 1")
    caches = args.kv_bits
    if args.weights is None:
        settings = parse_settings(caches or DEFAULT_SETTINGS, path=args.path)
    elif args.start or args.model is None:
        raise InputError(
            "--weights measures the scoring of a stored model",
            "name a repo, a folder or demo, without --shape, --report and --start",
        )
    else:
        alone = caches_of(parse_settings(caches, path=args.path)) if caches else ()
        settings = grid_settings(ladder(args.weights), tuple(alone))
    return Job(
        model=args.model or args.shape,
        settings=settings,
        corpus=CorpusSpec("builtin" if args.model == "demo" else "wikitext2"),
        chunk_length=args.chunk_length,
        max_chunks=args.max_chunks,
        batch=args.batch,
    )


def bench_ranks(args: argparse.Namespace) -> dict[str, Any]:
    """Measure how well ranks share a run.

    Returns:
        JSON values; ``ranks``: see :func:`scorer.bench.ranks.measured_ranks`.

    Raises:
        QfidError: The model cannot be scored.
    """
    from scorer.bench.ranks import measured_ranks, rank_counts

    job, counts = job_of(args), rank_counts(args.ranks)
    with running_backend() as backend:
        from scorer.lm.mlx_lm_import import import_mlx_lm

        import_mlx_lm(light=True)
        return {
            "model": job.model,
            "device": backend.kind,
            "device_name": backend.name,
            "settings": [setting.key for setting in job.settings],
            "chunks": job.max_chunks,
            "chunk_length": job.chunk_length,
            "repeats": args.repeats,
            "ranks": measured_ranks(job, args.shape, backend, counts, args.repeats),
        }


def bench_start(args: argparse.Namespace) -> dict[str, Any]:
    """Measure how long a run takes to its first scored batch.

    Returns:
        JSON values; ``starts``: see :func:`scorer.bench.start.measured_starts`.

    Raises:
        QfidError: The model cannot be scored.
    """
    job = job_of(args)
    with running_backend() as backend:
        from scorer.lm.mlx_lm_import import import_mlx_lm

        import_mlx_lm(light=True)
        from scorer.bench.start import measured_starts

        return {
            "model": job.model,
            "device": backend.kind,
            "device_name": backend.name,
            "versions": backend.versions,
            "settings": [str(setting) for setting in job.settings],
            "path": args.path,
            "chunk_length": job.chunk_length,
            "starts": measured_starts(job, args.shape, backend),
        }


def bench(args: argparse.Namespace) -> dict[str, Any]:
    """Measure what the options ask for.

    Returns:
        JSON values; times in seconds, memory in bytes. ``share``: of one scoring pass with a wait
        after each step.

    Raises:
        QfidError: The model cannot be scored, or a setting gave no number.
    """
    job = job_of(args)
    with running_backend() as backend:
        from scorer.lm.mlx_lm_import import import_mlx_lm

        import_mlx_lm(light=True)
        if args.weights is not None:
            from scorer.bench.weights import bench_weights

            return bench_weights(job, backend, args.repeats)
        from scorer.bench.metrics_kernel import kernel_speed
        from scorer.bench.subject import cached_subject, random_subject
        from scorer.metrics.reduce import Metrics

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
            "settings": [lane.key for lane in subject.lanes],
            "path": args.path,
            "chunk_length": int(subject.ids.shape[1]),
            "chunks": len(subject.ids),
            "batch": subject.size.batch,
            "repeats": args.repeats,
            **_measured(subject, metrics, backend, args.repeats),
            "metrics_kernel": kernel_speed(backend.kind, subject.vocab, subject.dtype),
        }


def _measured(subject: Subject, metrics: Metrics, backend: Backend, repeats: int) -> dict[str, Any]:
    from scorer.bench.peak_memory import PeakMemory
    from scorer.bench.shares import QUANTIZED, REFERENCE, Clock, TimedLane, TimedMetrics

    batches = list(batches_of(subject))
    peak = PeakMemory(backend.kind)
    pipeline = choose_pipeline(backend.kind, subject.size.batch)
    # Kernels are compiled, buffers filled and pages touched before anything is timed.
    bare_passes(subject, batches[:1])
    score_batches(subject, batches[:1], metrics, pipeline=pipeline)
    # A CPU's speed changes within seconds, so the two take turns at each batch; a GPU works over
    # the ends of batches. Both are timed as long: of shorter ones the fastest would be faster.
    pieces = [batches] if pipeline.tiles else [[batch] for batch in batches]
    passes = len(subject.lanes) + 1
    bare: list[list[float]] = []
    scoring: list[list[float]] = []
    for _ in range(repeats):
        bare.append([])
        scoring.append([])
        for piece in pieces:
            bare[-1].append(seconds_of(bare_passes, subject, piece * passes) / passes)
            peak.reset()
            scoring[-1].append(
                seconds_of(score_batches, subject, piece, metrics, pipeline=pipeline)
            )
            peak.note()
    clock = Clock()
    timed = replace(
        subject,
        reference=TimedLane(subject.reference, clock, REFERENCE),
        lanes=[TimedLane(lane, clock, QUANTIZED) for lane in subject.lanes],
    )
    counted = TimedMetrics(metrics, clock)
    total = seconds_of(score_batches, timed, batches, counted, pipeline=PLAIN, clock=clock)
    beside = None
    if backend.kind == "cpu":
        from scorer.bench.products import beside_products

        beside = beside_products(subject, worker_count(backend.kind), repeats)
    chunks = len(subject.ids)
    best_bare, best_scoring = fastest(bare), fastest(scoring)
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
        "beside_products": beside,
        "tokens_per_s": {
            "bare": chunks * tokens / best_bare,
            "scoring": chunks * tokens * passes / best_scoring,
        },
        "peak_bytes_above_weights": peak.above,
    }
