"""Whether the CPU device computes a model's costly parts in NumPy.

These are attention, activations, linear layers and the quantizer of a KV cache, of reference and
candidates alike. ``QFID_CPU_ARITHMETIC`` is ``numpy`` (the default) or ``mlx``. How models come to
call the functions in NumPy: :mod:`scorer.lm.patches`.
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
