"""``qfid kv MODEL``: score the KV settings of a model and print the report."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qfid_tui.cli.job_options import add_job_options, add_model_options, job_of
from qfid_tui.cli.report_formats import Delivery, add_report_options
from qfid_tui.state.paths import absolute

if TYPE_CHECKING:
    from scorer.models.info import ModelInfo
    from scorer.spec.job import Job

_DESCRIPTION = """\
Score what quantizing the KV cache costs MODEL on real text: KL divergence in
nats, top-token flips and perplexity against the same model at full precision.
The run is saved batch by batch. Ctrl-C stops it with a report of what is
scored, and `qfid resume` continues it.
"""
_EPILOG = """\
exit codes: 0 report, 1 internal error or a setting failed, 2 wrong input,
3 not enough memory, 4 --fail-under not met, 130 interrupted
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
    add_report_options(parser)


def run(args: argparse.Namespace) -> int:
    """Score, print, and return the exit code.

    Raises:
        QfidError: The job is not valid, or the report cannot be delivered.
    """
    from qfid_tui.cli.cached_model import ensure_model
    from qfid_tui.cli.diagnostics import say
    from qfid_tui.cli.scoring import score
    from qfid_tui.cli.standard_input import text_from_standard_input
    from qfid_tui.state.running_elsewhere import running_elsewhere
    from scorer.spec.job import STANDARD_INPUT

    job = job_of(args)
    delivery = Delivery(args)
    delivery.check_settings([setting.key for setting in job.settings])
    info = ensure_model(
        job.model, job.revision, allow_custom_code=args.allow_custom_code, pull=args.pull
    )
    job = _with_absolute_model(job, info)
    if (other := running_elsewhere(job)) is not None:
        say(f"warning: {other.words}")
    allowed = args.allow_custom_code
    if job.corpus.source != STANDARD_INPUT:
        return score(job, delivery, allow_custom_code=allowed)
    with text_from_standard_input() as path:
        return score(job, delivery, allow_custom_code=allowed, text_file=path)


def _with_absolute_model(job: Job, info: ModelInfo) -> Job:
    """Make the path of a local model absolute, so that the run can be resumed from any folder."""
    try:
        is_folder = Path(job.model).expanduser() == info.path
    except RuntimeError:
        is_folder = False
    return dataclasses.replace(job, model=absolute(job.model)) if is_folder else job
