"""The kind of device that MLX computes on in this thread."""

from __future__ import annotations

import mlx.core as mx

from scorer.common.device_kind import DeviceKind


def current_device() -> DeviceKind:
    """The kind of MLX's default device, which a stream may change for a block of code."""
    if mx.default_device() != mx.gpu:
        return "cpu"
    return "cuda" if mx.cuda.is_available() else "metal"
