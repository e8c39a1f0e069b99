"""The options that name a reference, its quantized copies, and what is scored of both."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scorer.spec.settings.base import Setting


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
        help="the reference, then quantized copies of it: repo ids in the local cache, folders or "
        "GGUF files; org/name@revision pins one",
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
