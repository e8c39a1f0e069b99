"""Whether the CPU device computes the expensive parts of a model in NumPy or in MLX.

These are attention, activations, linear layers and the quantizer of a KV cache. They are the same
for the reference and the candidates. ``QFID_CPU_ARITHMETIC`` is ``numpy`` (the default) or ``mlx``.
:mod:`scorer.lm.patches` puts the NumPy functions in place.
"""

from __future__ import annotations

from scorer.common.switches import is_enabled

NUMPY = "numpy"
MLX = "mlx"


def choose() -> str:
    """Return the arithmetic that ``QFID_CPU_ARITHMETIC`` selects for the CPU device.

    Returns:
        ``numpy`` or ``mlx``.

    Raises:
        InputError: The variable holds another value.
    """
    return NUMPY if is_enabled("QFID_CPU_ARITHMETIC", NUMPY, plain=MLX) else MLX
