"""The kinds of device that MLX runs on."""

from __future__ import annotations

from typing import Literal

DeviceKind = Literal["metal", "cuda", "cpu"]

GpuKind = Literal["cuda", "metal"]
"""The kinds of device that run this package's own kernels."""
