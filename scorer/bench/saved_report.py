"""How long and how much memory the report of a long run takes: ``qfid bench --report``.

A made-up run is saved in a temporary folder. In turn its positions are read once from end to end,
every checksum compared, and its report is made. No model is needed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorer.bench.options import DEFAULT_SETTINGS
from scorer.bench.resident_memory import (
    reset_resident_peak,
    resident_memory,
    resident_peak,
    return_free_memory,
)
from scorer.common.errors import InputError
from scorer.spec.job import Job
from scorer.spec.settings.registry import parse_settings

if TYPE_CHECKING:
    from scorer.runs.run import Run


def bench_report(args: argparse.Namespace) -> dict[str, Any]:
    """Measure what the options ask for.

    Returns:
        JSON values; times in seconds, memory in bytes.

    Raises:
        InputError: A setting or a number is not valid.
        QfidError: The run cannot be saved.
    """
    from scorer.bench.made_up_run import save_made_up_run

    chunks = args.report
    if chunks < 1 or args.repeats < 1:
        raise InputError("--report and --repeats are at least 1")
    job = Job(
        model="made-up",
        settings=parse_settings(args.kv_bits or DEFAULT_SETTINGS),
        chunk_length=args.chunk_length,
        chunks="first",
        max_chunks=chunks,
    )
    with tempfile.TemporaryDirectory(prefix="qfid-bench-") as folder:
        run = save_made_up_run(Path(folder), job, chunks)
        return {
            "settings": [setting.key for setting in job.settings],
            "chunks": chunks,
            "chunk_length": job.chunk_length,
            "repeats": args.repeats,
            **measured_report(run, args.repeats),
        }


def measured_report(run: Run, repeats: int = 1) -> dict[str, Any]:
    """Read a run's positions and make its report, in turn; of both the fastest repeat counts.

    Args:
        run: The run, all of whose settings have as many positions.
        repeats: How often.

    Returns:
        JSON values; times in seconds, memory in bytes. ``peak_bytes_above_start``: the most that
        was resident while the report was made, without what was before.
    """
    from scorer.report.from_run import finished_report

    stored = run.positions_path.stat().st_size
    # Modules are imported, pages touched and the file is in the system's cache before anything is
    # timed.
    run.scored()
    reading: list[float] = []
    making: list[float] = []
    above: list[int] = []
    for _ in range(repeats):
        reading.append(_seconds(run.scored))
        return_free_memory()
        reset_resident_peak()
        before = resident_memory()
        making.append(_seconds(lambda: finished_report(run)))
        above.append(resident_peak() - before)
    ratios = [made / read for made, read in zip(making, reading, strict=True)]
    setting_bytes = stored / len(run.job.settings)
    return {
        "reading_s": min(reading),
        "report_s": min(making),
        "ratio_to_reading": min(making) / min(reading),
        "ratio_of_each_repeat": ratios,
        "stored_bytes": stored,
        "stored_bytes_per_setting": setting_bytes,
        "peak_bytes_above_start": max(above),
        "ratio_to_stored_bytes_per_setting": max(above) / setting_bytes,
    }


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
