"""``qfid weights REF [QUANT ...]``: score quantized weights against a reference."""

from __future__ import annotations

import argparse
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
from qfid_tui.cli.report_formats import Delivery, add_report_options
from qfid_tui.cli.weights_options import add_weights_options, pinned, settings_of

if TYPE_CHECKING:
    from qfid_tui.state.texts import TextAtLength
    from scorer.spec.job import Job

_DESCRIPTION = """\
Score what quantizing the weights costs a model on real text, against the same
model at full precision: KL divergence in nats, top-token flips, perplexity.
Each QUANT is a quantized copy in the local cache, a folder, or a GGUF file,
whose weights MLX computes with. --bits makes precisions of the reference in
memory, and nothing is written to disk. With --kv every set of weights is also
scored with a quantized KV cache on top, and the report says what the two do
together.
"""
_EPILOG = """\
examples:
  qfid weights org/model-bf16 org/model-8bit org/model-4bit
  qfid weights org/model-bf16 --bits 8,6,4,3 --kv 8,4
  qfid weights org/model-4bit --reference org/model-bf16
  qfid weights org/model-bf16 ./model-Q4_K_M.gguf --bits 4

exit codes: 0 report, 1 internal error or a setting failed, 2 wrong input,
3 not enough memory, 4 --fail-under not met, 5 --confident: not settled,
130 interrupted
"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command's options."""
    parser = subparsers.add_parser(
        "weights",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_weights_options(parser, bits="8,6,5,4,3 where nothing else is named", kv="none")
    add_model_options(parser)
    add_cache_options(parser.add_argument_group("every KV setting"))
    add_text_options(parser)
    add_deployment_options(parser)
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

    candidates = list(args.models) if args.reference else args.models[1:]
    args.model = args.reference or args.models[0]
    args.model, args.revision = pinned(args.model, args.revision)
    settings, deployment = settings_of(args, candidates), deployment_of(args)
    wanted = texts_at_lengths(args)
    if len(wanted) > 1:

        def make(text: TextAtLength) -> Job:
            return job_of(args, settings, deployment, text)

        if args.dry_run:
            return print_dry_runs(wanted, make, args)
        return score_several(wanted, make, Delivery(args, joined=True), args)
    job = job_of(args, settings, deployment)
    if args.dry_run:
        return print_dry_run(job, args)
    delivery = Delivery(args)
    delivery.check_settings([setting.key for setting in job.settings])
    return score_new(job, delivery, args)
