"""The options that share a run among processes: ``--ranks`` and ``--hostfile``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scorer.spec.ranks import Ranks


def add_rank_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    whole = parser.add_argument_group("several processes")
    group = whole.add_mutually_exclusive_group()
    group.add_argument(
        "--ranks",
        type=int,
        metavar="N",
        help="share the run among N processes of this machine, one for each NVIDIA GPU",
    )
    group.add_argument(
        "--hostfile",
        metavar="FILE",
        help="share it among machines: a host file of mlx.launch, this machine first",
    )
    whole.add_argument(
        "--shard",
        metavar="HOW",
        help="tensor or pipeline: split one model over the processes, if it is too large for one",
    )


def ranks_of(args: argparse.Namespace) -> Ranks | None:
    """The ranks that the options, or the program that started this one, ask for; None for one.

    Raises:
        InputError: An option's value is not valid.
    """
    from dataclasses import replace

    from scorer.common.errors import InputError

    found = _ranks(args)
    if args.shard is None:
        return found
    if found is None:
        raise InputError(
            "--shard splits a model over ranks, and there is one",
            "add --ranks 2 or --hostfile FILE",
        )
    return replace(found, shard=args.shard)


def _ranks(args: argparse.Namespace) -> Ranks | None:
    import os
    from pathlib import Path

    from scorer.spec.ranks import Ranks, launched_rank, local_ranks, read_hostfile

    if args.hostfile is not None:
        found = read_hostfile(Path(args.hostfile).expanduser())
        return found if len(found.hosts) > 1 else None
    if args.ranks is not None:
        return local_ranks(args.ranks)
    return None if launched_rank(os.environ) is None else Ranks(launched=True)
