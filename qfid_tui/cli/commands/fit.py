"""``qfid fit REF --memory SIZE``: what to run in a given memory, measured, in one answer."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

from qfid_tui.cli.added_chunks import add_anew_option
from qfid_tui.cli.deployment_options import add_deployment_options, deployment_of
from qfid_tui.cli.dry_run import add_dry_run_option, print_dry_run
from qfid_tui.cli.job_options import (
    add_cache_options,
    add_model_options,
    add_text_options,
    job_of,
)
from qfid_tui.cli.rank_options import add_rank_options
from qfid_tui.cli.rendered_report import ANSWER
from qfid_tui.cli.report_formats import Delivery, add_report_options
from qfid_tui.cli.weights_options import add_weights_options, pinned, settings_of

if TYPE_CHECKING:
    from scorer.models.info import ModelInfo
    from scorer.spec.deployment import DeploymentSpec
    from scorer.spec.job import Job

DEFAULT_BITS = "8,6,5,4,3"
DEFAULT_KV = "8,4"
DEFAULT_CHUNKS = 32

_DESCRIPTION = """\
Find out what to run in a given memory: precisions of the weights and of the KV
cache are scored together on real text, and the answer is the cheapest that is
settled as good. What cannot fit is not scored, and what cannot be the answer
any more is scored no further. The run is saved; `qfid report RUN` prints all
of it.
"""
_EPILOG = """\
examples:
  qfid fit org/model-bf16 --memory 16GB --context 32k
  qfid fit org/model-bf16 org/model-4bit --memory 8GB --kv 8

exit codes: 0 answer, 1 internal error or a setting failed, 2 wrong input,
3 nothing fits, or not enough memory to score, 4 the answer does not meet
--fail-under, 5 --confident: it is not settled, 130 interrupted
"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command's options."""
    parser = subparsers.add_parser(
        "fit",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_weights_options(parser, bits=f"{DEFAULT_BITS} where nothing else is named", kv=DEFAULT_KV)
    add_model_options(parser)
    add_cache_options(parser.add_argument_group("every KV setting"))
    add_text_options(parser, several=False, stops=False)
    add_deployment_options(parser)
    add_rank_options(parser)
    add_report_options(parser)
    add_anew_option(parser)
    add_dry_run_option(parser)


def run(args: argparse.Namespace) -> int:
    """Score what fits, print the answer, and return the exit code.

    Raises:
        QfidError: The job is not valid, or nothing fits.
    """
    from qfid_tui.cli.cached_model import ensure_models
    from qfid_tui.cli.scoring import score_new
    from scorer.common.errors import InputError
    from scorer.models.measuring import with_exact_geometry
    from scorer.spec.deployment import DeploymentSpec

    if args.memory is None:
        raise InputError("--memory is missing", "say what there is: --memory 16GB")
    candidates = list(args.models) if args.reference else args.models[1:]
    args.model, args.revision = pinned(args.reference or args.models[0], args.revision)
    if args.kv is None and args.settings is None:
        args.kv = DEFAULT_KV
    if args.max_chunks is None:
        args.max_chunks = DEFAULT_CHUNKS
    spec = deployment_of(args) or DeploymentSpec()
    job = job_of(args, settings_of(args, candidates), spec)
    if args.format is None and args.output is None:
        args.format = ANSWER
    delivery = Delivery(args, of_answer=True)
    allowed = args.allow_custom_code
    info = ensure_models(job, allow_custom_code=allowed, pull=args.pull)
    job = _fitting(dataclasses.replace(job, drop_beaten=True), with_exact_geometry(info), spec)
    if args.dry_run:
        return print_dry_run(job, args)
    delivery.check_settings([setting.key for setting in job.settings])
    return score_new(job, delivery, args)


def _fitting(job: Job, info: ModelInfo, spec: DeploymentSpec) -> Job:
    """The job with the settings that fit; says which do not.

    Raises:
        WillNotFit: None does.
    """
    from qfid_tui.cli.diagnostics import say
    from scorer.fit.pruning import where_words, without_misfits

    kept, left = without_misfits(job, info, spec)
    if left:
        say(f"does not fit in {where_words(info, spec)}, and is not scored: {', '.join(left)}")
    return kept
