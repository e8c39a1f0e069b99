"""The options that say where a model is to run: memory, context, device.

Adding them imports nothing; the deployment checks the values.
"""

from __future__ import annotations

import argparse
import dataclasses
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


def deployment_of(
    args: argparse.Namespace, base: DeploymentSpec | None = None
) -> DeploymentSpec | None:
    """The deployment that the options describe; None where none is given.

    Args:
        args: The options.
        base: What holds of a run for the options that are not given.

    Raises:
        InputError: A value is not valid.
    """
    given = {
        "memory": args.memory,
        "context": args.context,
        "parallel": args.parallel,
        "device": args.device,
        "step": args.prefill_step_size,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        return None
    from scorer.spec.amounts import parse_bytes, parse_tokens
    from scorer.spec.deployment import DeploymentSpec

    if "memory" in given:
        given["memory"] = parse_bytes(given["memory"])
    if "context" in given:
        given["context"] = parse_tokens(given["context"])
    return dataclasses.replace(base or DeploymentSpec(), **given)
