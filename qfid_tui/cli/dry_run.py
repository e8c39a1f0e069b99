"""``--dry-run``: says what a job would take; nothing is scored, no model is loaded."""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scorer.models.info import ModelInfo
    from scorer.spec.job import Job

_PATIENCE = 60


def add_dry_run_option(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say how much would be scored, and what memory, disk and time it takes; score nothing",
    )


def print_dry_run(job: Job) -> int:
    """Print what a job would take.

    Returns:
        0, or 3 where scoring it does not fit in memory.

    Raises:
        QfidError: A model is not there or not a copy of the reference, or the device cannot be
            asked.
    """
    from qfid_tui.cli.output import print_text
    from scorer.common.errors import WillNotFit
    from scorer.device.host_memory import HostMemory
    from scorer.fit.dry_run import check_candidates, memory_plan, product_shape
    from scorer.models.measuring import with_exact_geometry
    from scorer.models.resolve import resolve_model

    info = with_exact_geometry(resolve_model(job.model, job.revision, allow_custom_code=True))
    job = job.resolved(info.geometry)
    check_candidates(job, info)
    machine = _machine(product_shape(info, job))
    memory = HostMemory(machine["memory_total"], machine["memory_free"])
    plan = memory_plan(job, info, machine["device"], memory)
    lines = [*_cells(job, info), *_memory(job, info, machine, plan), *_time(job, info, machine)]
    print_text(f"{line}\n" for line in lines)
    return 0 if plan.fits or job.force else WillNotFit.exit_code


def _machine(shape: tuple[int, int, int]) -> dict[str, Any]:
    """The device that would score, asked in a child process."""
    from scorer.common.errors import InputError, QfidError
    from scorer.common.python_command import python_command

    command = [*python_command("scorer"), "--rate", *map(str, shape)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
        raise QfidError(
            "the device cannot be asked", "`qfid doctor` examines this machine"
        ) from error
    if "error" in found:
        raise InputError(found["error"], found["hint"])
    return found


def _cells(job: Job, info: ModelInfo) -> Iterator[str]:
    from scorer.fit.dry_run import passes_per_chunk
    from scorer.fit.pruning import priced, where_words

    count = len(job.settings)
    yield f"{info.name}: {count} setting{'s' * (count != 1)}"
    yield f"  {', '.join(setting.key for setting in job.settings)}"
    if job.deployment is not None and job.deployment.memory is not None:
        found = priced(job.settings, info, job.deployment)
        left = [each.setting.key for each in found if not each.placed.fits]
        where = where_words(info, job.deployment)
        yield f"  {f'do not fit in {where}: ' + ', '.join(left) if left else f'all fit in {where}'}"
    each = passes_per_chunk(job)
    if job.max_chunks is None:
        yield f"forward passes: {each} for each chunk of {job.chunk_length} tokens, the whole text"
    else:
        yield (
            f"forward passes: {each * job.max_chunks}, {each} for each of {job.max_chunks} chunks "
            f"of {job.chunk_length} tokens, fewer where the text is shorter"
        )
    if job.drop_beaten:
        yield "  that is the most: settings that cannot be the answer are dropped on the way"
    if job.until_settled:
        yield "  that is the most: the run stops once every setting is settled"


def _memory(job: Job, info: ModelInfo, machine: dict[str, Any], plan: Any) -> Iterator[str]:
    from scorer.fit.dry_run import POSITION_BYTES, states_bytes
    from scorer.spec.amounts import shown_bytes
    from scorer.spec.settings.weights import sources_of

    how = ""
    if sources_of(job.settings):
        how = ", weights in turns" if plan.in_turns else ", weights loaded together"
    fits = "" if plan.fits else ": it does not fit"
    yield (
        f"memory to score: about {shown_bytes(plan.needed)}{how}; "
        f"{shown_bytes(plan.free)} free on {machine['device']}{fits}"
    )
    if plan.in_turns:
        yield f"  all together would take {shown_bytes(plan.together)}"
    chunks, of = (job.max_chunks, "") if job.max_chunks else (100, " for each 100 chunks")
    rows = len(job.settings) * chunks * (job.chunk_length - 1)
    states = ""
    if plan.in_turns:
        size = chunks * states_bytes(info, job, machine["device"])
        states = f", and {shown_bytes(size)} for the reference's states while it runs"
    yield f"disk: about {shown_bytes(rows * POSITION_BYTES)} of positions{states}{of}"


def _time(job: Job, info: ModelInfo, machine: dict[str, Any]) -> Iterator[str]:
    from scorer.fit.dry_run import earlier_seconds, passes_per_chunk, seconds_by_product

    earlier = earlier_seconds(job, machine["device"])
    if earlier is not None:
        run, each = earlier
        rests = f"at the rate of run {run}, {each:.2g} s a pass"
    else:
        rate = machine["flop"] / max(machine["seconds"], 1e-9)
        each = seconds_by_product(info, job, rate)
        rests = (
            f"from a matrix product timed just now ({rate / 1e9:.0f} GFLOP/s), {each:.2g} s a "
            "pass: a guess, which a small model or a busy machine takes off by a factor of four"
        )
    chunks, of = (job.max_chunks, "") if job.max_chunks else (100, " for each 100 chunks")
    yield f"time: about {_spell(each * passes_per_chunk(job) * chunks)}{of}, {rests}"
    yield "  reading the text and loading the weights come on top"


def _spell(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "1 s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
