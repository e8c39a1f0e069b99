"""What the commands say of a saved run that has chunks of what is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from scorer.models.info import ModelInfo
    from scorer.runs.chunk_plan import AskedChunks
    from scorer.runs.same_job import SameJob
    from scorer.spec.job import Job

ALL = "all"


def add_anew_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that leaves saved runs alone."""
    parser.add_argument(
        "--anew",
        action="store_true",
        help="score in a run of its own, whatever saved runs hold of it",
    )


def chunk_count(text: str) -> int | str:
    """Read a number of chunks, or ``all``.

    Raises:
        ValueError: It is neither.
    """
    return ALL if text.strip().lower() == ALL else int(text)


def same_job(job: Job, args: argparse.Namespace, info: ModelInfo) -> SameJob | None:
    """The saved run of the same model, text and settings; None with ``--anew``."""
    from scorer.runs.same_job import run_of_job

    if args.anew:
        return None

    def resolved(asked: Job) -> Job:
        return asked.resolved(info.geometry) if info.geometry.exact else asked

    # A run that stops by itself takes a part of the text, in an order of its own.
    any_order = args.chunks is None and job.max_chunks is None and not job.until_settled
    return run_of_job(job, resolved, any_order=any_order)


def has_just_these(found: SameJob) -> bool:
    """Whether a run has ended with the chunks that are asked for, and no others."""
    return found.chunks.asked == found.chunks.planned and found.run.finished


def more_than_asked(run: str, chunks: AskedChunks) -> str:
    """Says that the report is of fewer chunks than the run has."""
    return (
        f"run `{run}` has {chunks.planned} chunks: this is the report of its first "
        f"{chunks.asked}, and nothing is scored again; `qfid report {run}` is about all of them"
    )


def added(run: str, chunks: AskedChunks) -> str:
    """Says how many chunks are added to a run."""
    return (
        f"run `{run}` has {chunks.planned} of these {chunks.asked} chunks: "
        f"{_are(chunks.asked - chunks.planned)} added to it"
    )


def unfinished(run: str, chunks: AskedChunks) -> str:
    """Says that a run of just what is asked for goes on."""
    return (
        f"run `{run}` of these {chunks.planned} chunks is unfinished: only what it lacks is scored "
        "(--anew begins another)"
    )


def repeated(run: str, chunks: AskedChunks, *, until_settled: bool) -> str:
    """Says that a run has just what is asked for."""
    if until_settled:
        return (
            f"run `{run}` of the same job has ended: `qfid report {run}` prints its report; "
            "it is scored again in a run of its own"
        )
    return (
        f"run `{run}` has these {chunks.planned} chunks: `qfid report {run}` prints its report; "
        "they are scored again in a run of their own"
    )


def taken(run: str, chunks: AskedChunks) -> str:
    """Says that a run has just what is asked for, and that it is not scored again."""
    return (
        f"run `{run}` has these {chunks.planned} chunks: nothing of it is scored again (--anew "
        "scores all)"
    )


def _are(n: int) -> str:
    return "1 is" if n == 1 else f"{n} are"
