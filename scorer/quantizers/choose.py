"""The one place that chooses which version of a quantizer computes."""

from __future__ import annotations

from scorer.common.device_kind import DeviceKind
from scorer.device.cpu_arithmetic import MLX, NUMPY
from scorer.device.current import current_device
from scorer.quantizers.affine import Affine
from scorer.quantizers.affine_fused import GROUPS, AffineFused
from scorer.quantizers.affine_numpy import AffineNumpy
from scorer.quantizers.base import Quantizer
from scorer.spec.quantizers.affine import Affine as AffineDescription
from scorer.spec.quantizers.base import Quantizer as Description


def quantizer_for(
    described: Description, arithmetic: str = MLX, device: DeviceKind | None = None
) -> Quantizer:
    """The fastest version of a quantizer that gives MLX's own bits.

    Args:
        described: The quantizer and its parameters, as a setting describes it.
        arithmetic: ``numpy`` or ``mlx``, what computes the model that fills the cache.
        device: Where; None for the device that MLX computes on now.

    Raises:
        TypeError: There is no arithmetic for a description of this class.
    """
    if not isinstance(described, AffineDescription):
        raise TypeError(f"no arithmetic for the quantizer `{described.name}`")
    bits, group_size = described.bits, described.group_size
    if arithmetic == NUMPY:
        return AffineNumpy(bits, group_size)
    kind = current_device() if device is None else device
    if kind != "cpu" and group_size in GROUPS:
        return AffineFused(bits, group_size, kind)
    return Affine(bits, group_size)
