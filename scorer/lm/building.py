"""What holds while mlx-lm builds a model: nothing of it reaches the program around us."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx

from scorer.common.hidden_output import hidden_output
from scorer.common.offline import libraries_offline
from scorer.lm.build_patches import arguments_recorded
from scorer.lm.mlx_lm_import import kept_file_limit
from scorer.lm.model_arguments import Arguments
from scorer.lm.quiet_transformers import quiet_transformers


@contextmanager
def model_is_built() -> Iterator[list[Arguments]]:
    """Build a module of mlx-lm in the block, in this thread.

    The limits on open files stay as they are, what is printed and logged is hidden, the network is
    forbidden to huggingface_hub, and MLX's random numbers afterwards are those that would have come
    without the block: layers begin with random weights.

    Yields:
        What it takes of the model's config, see :func:`arguments_recorded`.
    """
    with (
        kept_file_limit(),
        hidden_output(),
        libraries_offline(),
        quiet_transformers(),
        kept_random_numbers(),
        arguments_recorded() as arguments,
    ):
        yield arguments


@contextmanager
def kept_random_numbers() -> Iterator[None]:
    """Give MLX's random numbers of this thread back as they were before the block."""
    # Each thread has a state of its own: the two halves of the number that seeds it.
    state: Any = mx.random.state
    high, low = state[0].tolist()
    try:
        yield
    finally:
        mx.random.seed(high << 32 | low)
