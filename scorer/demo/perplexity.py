"""Perplexity of a model on a text, and of a unigram model."""

from __future__ import annotations

import math
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import numpy.typing as npt


def chunked(tokens: npt.NDArray[np.int32], length: int) -> npt.NDArray[np.int32]:
    """Cut tokens into consecutive chunks; the last partial chunk is dropped.

    Args:
        tokens: (n,) int32.
        length: Tokens per chunk.

    Returns:
        (n // length, length) int32.
    """
    return tokens[: len(tokens) // length * length].reshape(-1, length)


def model_perplexity(model: Any, chunks: npt.NDArray[np.int32], batch: int = 8) -> float:
    """Return the perplexity over all positions of all chunks.

    Args:
        model: Maps tokens (b, L) int32 to logits (b, L, V), any floating dtype.
        chunks: (n, L) int32, each with an empty context; positions 0 to L - 2 are scored.
        batch: Chunks per forward pass.

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
    """Return the perplexity of the best model without context, the token frequencies.

    Args:
        chunks: (n, L) int32; all tokens but the first of each chunk are counted.

    Returns:
        exp of the entropy of the token frequencies.
    """
    counts = np.bincount(chunks[:, 1:].ravel())
    shares = counts[counts > 0] / counts.sum()
    return math.exp(-float((shares * np.log(shares)).sum()))
