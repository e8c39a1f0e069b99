"""``qfid weights REF [QUANT ...]``: score quantized weights against a reference."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from qfid_tui.cli.deployment_options import add_deployment_options, deployment_of
from qfid_tui.cli.job_options import (
    add_cache_options,
    add_model_options,
    add_text_options,
    job_of,
)
from qfid_tui.cli.report_formats import Delivery, add_report_options

if TYPE_CHECKING:
    from scorer.spec.settings.base import Setting

_DESCRIPTION = """\
Score what quantizing the weights costs a model on real text, against the same
model at full precision: KL divergence in nats, top-token flips, perplexity.
Each QUANT is a quantized copy in the local cache or a folder. --bits makes
precisions of the reference in memory, and nothing is written to disk. With
--kv every set of weights is also scored with a quantized KV cache on top, and
the report says what the two do together.
"""
_EPILOG = """\
examples:
  qfid weights org/model-bf16 org/model-8bit org/model-4bit
  qfid weights org/model-bf16 --bits 8,6,4,3 --kv 8,4
  qfid weights org/model-4bit --reference org/model-bf16

exit codes: 0 report, 1 internal error or a setting failed, 2 wrong input,
3 not enough memory, 4 --fail-under not met, 130 interrupted
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
    add_report_options(parser)


def add_weights_options(parser: argparse.ArgumentParser, *, bits: str, kv: str) -> None:
    """Add the models and the options for weights and KV settings.

    Args:
        parser: The parser.
        bits: What is made of the reference by default, for the help.
        kv: KV settings by default, likewise.
    """
    parser.add_argument(
        "models",
        metavar="MODEL",
        nargs="+",
        help="the reference, then quantized copies of it: repo ids in the local cache or folders; "
        "org/name@revision pins one",
    )
    parser.add_argument(
        "--reference",
        metavar="R",
        help="the reference; every MODEL is then a quantized copy",
    )
    group = parser.add_argument_group("weights and KV cache")
    group.add_argument(
        "--bits",
        metavar="LIST",
        help=f"precisions made of the reference: 8,6,4:32,mxfp4 (default: {bits})",
    )
    group.add_argument(
        "--group-size",
        type=int,
        metavar="G",
        help="elements of a weight that share a scale: 32, 64 or 128 (default: 64)",
    )
    group.add_argument(
        "--kv",
        metavar="LIST",
        help="KV settings to score alone and on top of each set of weights: 8,4:32,k8v4 "
        f"(default: {kv})",
    )
    group.add_argument(
        "--settings",
        metavar="LIST",
        help="further settings in full: w4+8,w8:32 (`qfid notation` lists what can be written)",
    )
    group.add_argument(
        "--one-at-a-time",
        action="store_true",
        help="load one set of weights after the other, also where all fit in memory",
    )


def run(args: argparse.Namespace) -> int:
    """Score, print, and return the exit code.

    Raises:
        QfidError: The job is not valid, or the report cannot be delivered.
    """
    from qfid_tui.cli.scoring import score_new

    candidates = list(args.models) if args.reference else args.models[1:]
    args.model = args.reference or args.models[0]
    args.model, args.revision = pinned(args.model, args.revision)
    job = job_of(args, settings_of(args, candidates), deployment_of(args))
    delivery = Delivery(args)
    delivery.check_settings([setting.key for setting in job.settings])
    return score_new(job, delivery, args)


def settings_of(args: argparse.Namespace, candidates: list[str]) -> tuple[Setting, ...]:
    """Every cell that the options ask for.

    Raises:
        InputError: One is not valid.
    """
    from scorer.spec.settings.grid import (
        DEFAULT_LADDER,
        cache_settings,
        grid_settings,
        ladder,
        stored_weights,
    )
    from scorer.spec.settings.registry import parse_settings

    options = {"group_size": args.kv_group_size, "start": args.quantize_start}
    caches = cache_settings(args.kv, path=args.path, **options) if args.kv else ()
    others = parse_settings(args.settings, path=args.path, **options) if args.settings else ()
    weights = [stored_weights(name) for name in candidates]
    bits = args.bits
    if bits is None and not candidates and not others:
        bits = DEFAULT_LADDER
    made = ladder(bits, args.group_size) if bits else ()
    return grid_settings((*weights, *made), caches, others)


def pinned(name: str, revision: str | None) -> tuple[str, str | None]:
    """A model and its revision, which may stand behind an ``@``."""
    from scorer.models.hub_cache import is_repo_id

    model, _, own = name.partition("@")
    if own and is_repo_id(model):
        return model, own
    return name, revision
