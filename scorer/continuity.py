"""Whether a model gives the same states when a chunk is run in two parts.

Deployment runs a prefix through the full-precision cache and the rest behind it. A few of mlx-lm's
architectures give other logits then, quantized or not (a window mask that is one token wider than
the window of its cache, sparse blocks counted from the end): the drift would measure that.
"""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from scorer.errors import InputError
from scorer.lanes import ReferenceLane, fresh_caches

# Rounding differs between the two runs: mean over positions of the states' relative difference.
_TOLERANCE_32_BIT = 1e-3
_TOLERANCE_16_BIT = 5e-2


def check_continuity(
    reference: ReferenceLane, tokens: mx.array, starts: set[int], architecture: str
) -> None:
    """Compare one forward with two, at full precision, for every start of a deployment.

    Args:
        reference: The full-precision lane.
        tokens: (1, T) int32, a whole chunk: windows show only on full length.
        starts: Tokens of the prefix; 0 is skipped.
        architecture: For the message.

    Raises:
        InputError: The states behind a start differ by more than rounding.
    """
    starts = starts - {0}
    if not starts:
        return
    states = reference.hidden(tokens)
    tolerance = _TOLERANCE_32_BIT if states.dtype == mx.float32 else _TOLERANCE_16_BIT
    whole = _finite(states)
    for start in sorted(starts):
        caches = fresh_caches(reference.split.model)
        mx.eval(reference.split.hidden(tokens[:, :start], caches))
        rest = _finite(reference.split.hidden(tokens[:, start:], caches))
        expected = whole[:, start:]
        size = mx.linalg.norm(expected, axis=-1)
        difference = mx.linalg.norm(expected - rest, axis=-1) / mx.maximum(size, 1e-30)
        mean = float(np.array(difference.mean()))
        if not mean <= tolerance:
            raise InputError(
                f"mlx-lm's `{architecture}` gives other states when a chunk is run in two parts "
                f"({mean:.0%} apart behind {start} tokens at full precision)",
                "deployment would measure that and not quantization: score it in stress mode, "
                "without a start",
            )


def _finite(states: mx.array) -> mx.array:
    """States as float32; logits that are infinite by design (masked tokens) count as 0."""
    states = states.astype(mx.float32)
    return mx.where(mx.isfinite(states), states, 0.0)
