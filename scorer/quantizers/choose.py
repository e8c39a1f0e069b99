"""The one place that chooses which version of a quantizer computes."""

from __future__ import annotations

from scorer.common.device_kind import DeviceKind
from scorer.device.cpu_arithmetic import MLX, NUMPY
from scorer.device.current import current_device
from scorer.quantizers.affine import Affine
from scorer.quantizers.affine_fused import GROUPS, AffineFused
from scorer.quantizers.affine_numpy import AffineNumpy
from scorer.quantizers.base import Quantizer


def quantizer_for(
    bits: int, group_size: int, arithmetic: str = MLX, device: DeviceKind | None = None
) -> Quantizer:
    """The fastest version of a quantizer that gives MLX's own bits.

    Args:
        bits: Bits of a code: 2, 3, 4, 5, 6 or 8.
        group_size: Elements that share a scale and a bias.
        arithmetic: ``numpy`` or ``mlx``, what computes the model that fills the cache.
        device: Where; None for the device that MLX computes on now.
    """
    if arithmetic == NUMPY:
        return AffineNumpy(bits, group_size)
    kind = current_device() if device is None else device
    if kind != "cpu" and group_size in GROUPS:
        return AffineFused(bits, group_size, kind)
    return Affine(bits, group_size)
