"""Whether a model gives the same states when a chunk is run in two parts.

Deployment runs a prefix through the full-precision cache and the rest behind it. A few of mlx-lm's
architectures give other logits then, quantized or not (a window mask that is one token wider than
the window of its cache, sparse blocks counted from the end): the drift would measure that.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np

from scorer.common.errors import InputError
from scorer.lanes.base import ReferenceLane
from scorer.lm.caches import can_be_cut, cut, fresh_caches

# Rounding differs between the two runs: mean over positions of the states' relative difference.
_TOLERANCE_32_BIT = 1e-3
_TOLERANCE_16_BIT = 5e-2


def check_continuity(
    reference: ReferenceLane, tokens: mx.array, starts: set[int], architecture: str
) -> frozenset[int]:
    """Compare one forward with two, at full precision, for every start of a deployment.

    Args:
        reference: The full-precision lane.
        tokens: (1, T) int32, a whole chunk: windows show only on full length.
        starts: Tokens of the prefix; 0 is skipped.
        architecture: For the message.

    Returns:
        Starts whose prefix alone gave the same bits, states, keys and values, as the whole.

    Raises:
        InputError: The states behind a start differ by more than rounding.
    """
    starts = starts - {0}
    if not starts:
        return frozenset()
    whole_caches = fresh_caches(reference.split.model)
    states = reference.split.hidden(tokens, whole_caches)
    equal = set()
    tolerance = _TOLERANCE_32_BIT if states.dtype == mx.float32 else _TOLERANCE_16_BIT
    whole = _finite(states)
    for start in sorted(starts):
        caches = fresh_caches(reference.split.model)
        prefix = reference.split.hidden(tokens[:, :start], caches)
        mx.eval(prefix)
        if bool(mx.array_equal(prefix, states[:, :start]).item()) and _same(caches, whole_caches):
            equal.add(start)
        found = reference.split.hidden(tokens[:, start:], caches)
        # NaN fails the settings when the chunk is scored. Here positions without it count: it
        # reaches further into what is masked in one pass than in the other.
        numbers = ~mx.isnan(found).any(axis=-1) & ~mx.isnan(states[:, start:]).any(axis=-1)
        rest, expected = _finite(found), whole[:, start:]
        size = mx.linalg.norm(expected, axis=-1)
        difference = mx.linalg.norm(expected - rest, axis=-1) / mx.maximum(size, 1e-30)
        kept = np.array(difference)[np.array(numbers)]
        mean = float(kept.mean()) if len(kept) else 0.0
        if not mean <= tolerance:
            raise InputError(
                f"mlx-lm's `{architecture}` gives other states when a chunk is run in two parts "
                f"({mean:.0%} apart behind {start} tokens at full precision)",
                "deployment would measure that and not quantization: leave out `@N` and "
                "--quantize-start",
            )
    return frozenset(equal)


def _same(caches: list[Any], whole: list[Any]) -> bool:
    """Whether caches of a prefix hold the same bits as the first tokens of ``whole``."""
    if not can_be_cut(caches) or not can_be_cut(whole):
        return False
    for own, other in zip(caches, whole, strict=True):
        mine, first = cut(own, own.offset), cut(other, own.offset)
        if own.keys is None or other.keys is None:
            if own.keys is not other.keys:
                return False
        elif not all(
            bool(mx.array_equal(x, y).item())
            for x, y in ((mine.keys, first.keys), (mine.values, first.values))
        ):
            return False
    return True


def _finite(states: mx.array) -> mx.array:
    """States (1, T, H) of any float dtype as float32; infinite ones as 0.

    Without a split they are logits, and logits of masked tokens are infinite by design.
    """
    states = states.astype(mx.float32)
    return mx.where(mx.isfinite(states), states, 0.0)
