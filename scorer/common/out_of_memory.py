"""How running out of memory looks: what MLX, NumPy, CUDA and Metal say then.

Texts as they stand in the libraries of mlx 0.32.4, of its Metal and CUDA packages, and in reports
of its users. On the CPU MLX uses what ``malloc`` gives it unlooked at: there a failed allocation
is no error but a segmentation fault, and only the estimate before the run and the watch during it
help. Pure standard library: the command line reads a dead child's last words with it.
"""

from __future__ import annotations

import re

_TEXTS = re.compile(
    r"\[malloc\] Unable to allocate"
    r"|\[metal::malloc\]"  # Attempting to allocate …, Resource limit … exceeded
    r"|Insufficient Memory|kIOGPUCommandBufferCallbackErrorOutOfMemory"
    r"|cudaMalloc\w*\([^)]*\)? ?.*failed|cudaMalloc\w* failed"
    r"|out of memory|OUT_OF_MEMORY|MemoryAllocation|ALLOC_FAILED"
    r"|std::bad_alloc",
    re.IGNORECASE,
)


def says_out_of_memory(text: str) -> bool:
    """Whether a library's message means that memory ran out."""
    return _TEXTS.search(text) is not None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out: of the host's, or of the device's."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError | ValueError) and says_out_of_memory(str(error))
