"""``qfid resume [RUN]``: score the missing chunks of a saved run and print its report."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

from qfid_tui.cli.added_chunks import ALL, chunk_count, more_than_asked
from qfid_tui.cli.added_chunks import added as more_chunks
from qfid_tui.cli.deployment_options import add_deployment_options, deployment_of
from qfid_tui.cli.job_options import add_stopping_option
from qfid_tui.cli.rank_options import add_rank_options, ranks_of
from qfid_tui.cli.report_formats import Delivery, add_report_options

if TYPE_CHECKING:
    from scorer.runs.chunk_plan import AskedChunks
    from scorer.runs.run import Run
    from scorer.spec.job import Job
    from scorer.spec.settings.base import Setting
    from scorer.spec.settings.weights import WeightsSource


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command's options."""
    parser = subparsers.add_parser(
        "resume",
        description="Score the missing chunks of a saved run, then print its report. The options "
        "about where it is to run replace those that the run has.",
        epilog="exit codes: those of `qfid kv`, 5 among them for --confident: not settled",
    )
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs="?",
        help="id of the run or its beginning (default: the newest unfinished one)",
    )
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="continue although model, text or arithmetic have changed since",
    )
    parser.add_argument(
        "--allow-custom-code",
        action="store_true",
        help="allow the model's own Python files to run, as they are now; no run remembers that",
    )
    parser.add_argument("--force", action="store_true", help="score even if memory seems too small")
    parser.add_argument(
        "--pull", action="store_true", help="download the model if it is not cached, without asking"
    )
    add_stopping_option(parser)
    group = parser.add_argument_group("added to the run (its own settings stay)")
    group.add_argument(
        "--bits", metavar="LIST", help="precisions made of the run's reference: 6,4:32,mxfp4"
    )
    group.add_argument(
        "--kv",
        metavar="LIST",
        help="KV settings, alone and on top of every set of weights of the run: 8,4:32",
    )
    group.add_argument(
        "--weights", metavar="LIST", help="quantized copies: org/name@revision, folders, GGUF"
    )
    group.add_argument("--settings", metavar="LIST", help="settings in full: w6,w6+8,k8v4")
    group.add_argument(
        "--max-chunks",
        type=chunk_count,
        metavar="N",
        help="chunks in all, or `all`: those that are missing are added; fewer than it has: the "
        "report of the first N",
    )
    add_deployment_options(parser)
    add_rank_options(parser)
    add_report_options(parser)


def _added(args: argparse.Namespace, job: Job) -> tuple[Setting, ...]:
    """The settings that the options add to a run: new rows and columns fill its grid.

    Raises:
        InputError: One is not valid.
    """
    from scorer.spec.settings.grid import cache_settings, grid_settings, ladder, stored_weights
    from scorer.spec.settings.registry import parse_settings
    from scorer.spec.settings.weights import caches_of, sources_of

    others = parse_settings(args.settings) if args.settings else ()
    names = [name for name in (args.weights or "").split(",") if name.strip()]
    stored = [stored_weights(name.strip()) for name in names]
    rows: tuple[WeightsSource, ...] = (*stored, *(ladder(args.bits) if args.bits else ()))
    columns = cache_settings(args.kv) if args.kv else ()
    whole = dict.fromkeys((*caches_of(job.settings), *columns)) if rows else dict.fromkeys(columns)
    found = list(grid_settings(rows, tuple(whole)))
    if columns:
        found += grid_settings(sources_of(job.settings), columns)
    known = set(job.settings)
    return tuple(one for one in dict.fromkeys((*found, *others)) if one not in known)


def _asked(args: argparse.Namespace, run: Run) -> tuple[int | None, AskedChunks | None]:
    """How many chunks the run is to have, None for all, and what it has of those asked for.

    Raises:
        InputError: There cannot be so many.
    """
    from scorer.runs.chunk_plan import asked_chunks

    if args.max_chunks is None:
        return run.job.max_chunks, None
    n = None if args.max_chunks == ALL else args.max_chunks
    dataclasses.replace(run.job, max_chunks=n)
    return n, asked_chunks(run, n)


def run(args: argparse.Namespace) -> int:
    """Score what is missing, print, and return the exit code.

    Raises:
        QfidError: There is no such run, or it cannot be continued.
    """
    from qfid_tui.cli.cached_model import ensure_models
    from qfid_tui.cli.diagnostics import say
    from qfid_tui.cli.scoring import score
    from scorer.report.saved_report import deployed_report, saved_report
    from scorer.runs.resuming import job_to_resume, nothing_is_left, run_to_resume

    ranks = ranks_of(args)
    found = run_to_resume(args.run)
    delivery = Delivery(args)
    delivery.check_settings([setting.key for setting in found.job.settings])
    deployment = deployment_of(args, found.job.deployment)
    added = _added(args, found.job)
    stopping = args.until_settled and not found.job.until_settled
    asked, chunks = _asked(args, found)
    adds = bool(added) or stopping
    if chunks is not None and chunks.is_smaller and not chunks.missing and not adds:
        say(more_than_asked(found.id, chunks))
        report = deployed_report(found, deployment or found.job.deployment, chunks.asked)
        delivery.deliver(report, found.id, deployment)
        return delivery.exit_code(report)
    is_more = chunks is not None and chunks.asked > chunks.planned
    if not adds and not is_more and nothing_is_left(found):
        say(f"run `{found.id}` is complete: nothing is left to score")
        report = saved_report(found) if deployment is None else deployed_report(found, deployment)
        delivery.deliver(report, found.id, deployment)
        return delivery.exit_code(report, found)
    found.check_appendable()
    wanted = (*found.job.settings, *added)
    job = job_to_resume(
        found,
        accept_changes=args.accept_changes,
        force=args.force,
        until_settled=args.until_settled,
    )
    settings = ", ".join(setting.key for setting in wanted)
    say(f"resuming run `{found.id}`: {found.job.model}, settings {settings}")
    if stopping and not is_more and nothing_is_left(found):
        say("all its chunks are scored: it looks once, at the last of the looks that were planned")
    if chunks is not None and is_more:
        say(more_chunks(found.id, chunks))
    job = dataclasses.replace(job, settings=wanted, max_chunks=asked)
    if deployment is not None:
        job = dataclasses.replace(job, deployment=deployment)
    ensure_models(job, allow_custom_code=args.allow_custom_code, pull=args.pull)
    return score(
        job,
        delivery,
        run=found.id,
        accept_changes=args.accept_changes,
        allow_custom_code=args.allow_custom_code,
        ranks=ranks,
        earlier=chunks.planned if chunks is not None and is_more else 0,
    )
