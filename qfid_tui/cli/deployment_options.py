"""The options that say where a model is to run: memory, context, device.

Adding them imports nothing; the deployment checks the values.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scorer.spec.deployment import DeploymentSpec

_DEVICES = ("metal", "cuda", "cpu")


def add_deployment_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("where it is to run (no number depends on it)")
    group.add_argument(
        "--memory",
        metavar="SIZE",
        help="memory for weights, KV cache and prefill: 16GB, 940MB, 8GiB (MB = 10^6 bytes)",
    )
    group.add_argument(
        "--context",
        metavar="N",
        help="tokens of a sequence: 8192, 32k (default: 8k, or the model's own where that is less)",
    )
    group.add_argument(
        "--parallel", type=int, metavar="N", help="sequences at the same time (default: 1)"
    )
    group.add_argument(
        "--device",
        choices=_DEVICES,
        help="the device it is to run on, not the one that scores (default: metal)",
    )
    group.add_argument(
        "--prefill-step-size",
        type=int,
        metavar="N",
        help="tokens of a prefill block, as mlx-lm takes it (default: chosen; mlx-lm's is 2048)",
    )


def deployment_of(args: argparse.Namespace) -> DeploymentSpec | None:
    """The deployment that the options describe; None where none is given.

    Raises:
        InputError: A value is not valid.
    """
    given = (args.memory, args.context, args.parallel, args.device, args.prefill_step_size)
    if all(value is None for value in given):
        return None
    from scorer.spec.amounts import parse_bytes, parse_tokens
    from scorer.spec.deployment import DeploymentSpec

    return DeploymentSpec(
        memory=None if args.memory is None else parse_bytes(args.memory),
        context=None if args.context is None else parse_tokens(args.context),
        parallel=1 if args.parallel is None else args.parallel,
        device=args.device or "metal",
        step=args.prefill_step_size,
    )
