"""Whether the CPU device computes a model's costly parts in NumPy, and how models get them.

These are attention, activations, linear layers and the quantizer of a KV cache.

``QFID_CPU_ARITHMETIC`` is ``numpy`` (the default) or ``mlx``. Models look these functions up by
name at each call, so they are replaced for the time of a forward pass, reference and candidates
alike.
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
