"""The options that share a run among processes: ``--ranks`` and ``--hostfile``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scorer.spec.ranks import Ranks


def add_rank_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("several processes").add_mutually_exclusive_group()
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


def ranks_of(args: argparse.Namespace) -> Ranks | None:
    """The ranks that the options, or the program that started this one, ask for; None for one.

    Raises:
        InputError: An option's value is not valid.
    """
    from scorer.spec.ranks import Ranks, launched_rank, local_ranks, read_hostfile

    if args.hostfile is not None:
        found = read_hostfile(Path(args.hostfile).expanduser())
        return found if len(found.hosts) > 1 else None
    if args.ranks is not None:
        return local_ranks(args.ranks)
    return None if launched_rank(os.environ) is None else Ranks(launched=True)
