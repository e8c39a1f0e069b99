"""``qfid kv MODEL``: score the KV settings of a model and print the report."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from qfid_tui.cli.added_chunks import add_anew_option
from qfid_tui.cli.dry_run import add_dry_run_option, print_dry_run
from qfid_tui.cli.job_options import add_job_options, add_model_options, job_of
from qfid_tui.cli.rank_options import add_rank_options
from qfid_tui.cli.report_formats import Delivery, add_report_options

if TYPE_CHECKING:
    from qfid_tui.state.texts import TextAtLength
    from scorer.spec.job import Job

_DESCRIPTION = """\
Score what quantizing the KV cache costs MODEL on real text: KL divergence in
nats, top-token flips and perplexity against the same model at full precision.
The run is saved batch by batch. Ctrl-C stops it with a report of what is
scored, and `qfid resume` continues it.
"""
_EPILOG = """\
exit codes: 0 report, 1 internal error or a setting failed, 2 wrong input,
3 not enough memory, 4 --fail-under not met, 5 --confident: not settled,
130 interrupted
"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command's options."""
    parser = subparsers.add_parser(
        "kv",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "model", metavar="MODEL", help="repo id in the local cache, a folder (./kv), or demo"
    )
    add_model_options(parser)
    add_job_options(parser)
    add_rank_options(parser)
    add_report_options(parser)
    add_anew_option(parser)
    add_dry_run_option(parser)


def run(args: argparse.Namespace) -> int:
    """Score, print, and return the exit code.

    Raises:
        QfidError: The job is not valid, or the report cannot be delivered.
    """
    from qfid_tui.cli.scoring import score_new
    from qfid_tui.cli.several import print_dry_runs, score_several
    from qfid_tui.cli.text_options import texts_at_lengths

    wanted = texts_at_lengths(args)
    if len(wanted) > 1:

        def make(text: TextAtLength) -> Job:
            return job_of(args, text=text)

        if args.dry_run:
            return print_dry_runs(wanted, make, args)
        return score_several(wanted, make, Delivery(args, joined=True), args)
    job = job_of(args)
    if args.dry_run:
        return print_dry_run(job, args)
    delivery = Delivery(args)
    delivery.check_settings([setting.key for setting in job.settings])
    return score_new(job, delivery, args)
