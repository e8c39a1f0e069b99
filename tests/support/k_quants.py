"""Q4_K and Q6_K made of values by rounding: the package ``gguf`` dequantizes them only.

llama.cpp searches for better scales; the bytes are laid out as its ``ggml-common.h`` has them.
"""

from __future__ import annotations

import numpy as np

SUPER = 256


def q4_k(values: np.ndarray) -> np.ndarray:
    """Bytes of Q4_K: eight groups of 32 with scales and offsets of 6 bits."""
    groups = values.astype(np.float32).reshape(-1, 8, 32)
    low = np.minimum(groups.min(-1), 0)
    step = (groups.max(-1) - low) / 15
    d, dmin = (each.max(-1, keepdims=True) / 63 for each in (step, -low))
    d, dmin = (np.maximum(each, 1e-12).astype(np.float16) for each in (d, dmin))
    scales = np.clip(np.round(step / d.astype(np.float32)), 0, 63).astype(np.uint8)
    offsets = np.clip(np.round(-low / dmin.astype(np.float32)), 0, 63).astype(np.uint8)
    used = d.astype(np.float32) * scales
    taken = dmin.astype(np.float32) * offsets
    codes = (groups + taken[..., None]) / np.maximum(used, 1e-12)[..., None]
    codes = np.clip(np.round(codes), 0, 15).astype(np.uint8)
    packed = np.zeros((len(groups), 12), np.uint8)
    packed[:, 0:4] = scales[:, :4] | (scales[:, 4:] >> 4) << 6
    packed[:, 4:8] = offsets[:, :4] | (offsets[:, 4:] >> 4) << 6
    packed[:, 8:12] = (scales[:, 4:] & 15) | (offsets[:, 4:] & 15) << 4
    nibbles = codes.reshape(-1, 4, 2, 32)
    whole = (nibbles[:, :, 0] | nibbles[:, :, 1] << 4).reshape(-1, 128)
    return np.concatenate([d.view(np.uint8), dmin.view(np.uint8), packed, whole], axis=1)


def q6_k(values: np.ndarray) -> np.ndarray:
    """Bytes of Q6_K: sixteen groups of 16 with signed scales of 8 bits."""
    groups = values.astype(np.float32).reshape(-1, 16, 16)
    step = np.abs(groups).max(-1) / 31
    d = np.maximum(step.max(-1, keepdims=True) / 127, 1e-12).astype(np.float16)
    scales = np.clip(np.round(step / d.astype(np.float32)), 1, 127).astype(np.int8)
    used = d.astype(np.float32) * scales
    codes = np.clip(np.round(groups / used[..., None]), -32, 31).astype(np.int8) + 32
    # Two halves of 128; in each, four rows of 32 that share bytes.
    rows = codes.astype(np.uint8).reshape(-1, 2, 4, 32)
    low = np.concatenate([rows[:, :, i] & 15 | (rows[:, :, i + 2] & 15) << 4 for i in (0, 1)], -1)
    high = sum(rows[:, :, i] >> 4 << 2 * i for i in range(4))
    parts = (low.reshape(-1, 128), np.asarray(high, np.uint8).reshape(-1, 64))
    return np.concatenate([*parts, scales.view(np.uint8), d.view(np.uint8)], axis=1)
