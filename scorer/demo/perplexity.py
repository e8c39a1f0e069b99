"""How well a model predicts a text, and how well knowing only the token counts would."""

from __future__ import annotations

import math
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import numpy.typing as npt


def chunked(tokens: npt.NDArray[np.int32], length: int) -> npt.NDArray[np.int32]:
    """Consecutive chunks, the last partial one dropped.

    Args:
        tokens: (n,) int32.
        length: Tokens a chunk.

    Returns:
        (n // length, length) int32.
    """
    return tokens[: len(tokens) // length * length].reshape(-1, length)


def model_perplexity(model: Any, chunks: npt.NDArray[np.int32], batch: int = 8) -> float:
    """Perplexity over all positions of all chunks, each chunk from an empty context.

    Args:
        model: Tokens (b, L) int32 to logits (b, L, V).
        chunks: (n, L) int32; positions 0 to L - 2 are scored.
        batch: Chunks that go through together.

    Returns:
        exp of the mean negative log-likelihood, pooled in float64.
    """
    total = 0.0
    for start in range(0, len(chunks), batch):
        tokens = mx.array(chunks[start : start + batch])
        logits = model(tokens[:, :-1]).astype(mx.float32)
        losses = nn.losses.cross_entropy(logits, tokens[:, 1:])
        total += float(np.array(losses, dtype=np.float64).sum())
    return math.exp(total / (chunks.shape[0] * (chunks.shape[1] - 1)))


def unigram_perplexity(chunks: npt.NDArray[np.int32]) -> float:
    """Perplexity of the best model that ignores context: the chunks' own token frequencies.

    Args:
        chunks: (n, L) int32; the tokens predicted, those after the first of each, are counted.

    Returns:
        exp of the entropy of the token frequencies; no fixed distribution over tokens is better.
    """
    counts = np.bincount(chunks[:, 1:].ravel())
    shares = counts[counts > 0] / counts.sum()
    return math.exp(-float((shares * np.log(shares)).sum()))
