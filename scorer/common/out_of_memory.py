"""Recognizes out-of-memory errors of MLX, NumPy, CUDA and Metal by their messages.

The messages are from mlx 0.32.4, its Metal and CUDA packages, and issue reports. On the CPU, MLX
does not check the result of ``malloc``: a failed allocation is a segmentation fault, so only the
estimate before the run and the memory watch during it help there. Standard library only: the
command line uses it on the log of a child process that has died.
"""

from __future__ import annotations

import re

_TEXTS = re.compile(
    r"\[malloc\] Unable to allocate"
    r"|\[metal::malloc\]"  # Attempting to allocate …, Resource limit … exceeded
    r"|Insufficient Memory|kIOGPUCommandBufferCallbackErrorOutOfMemory"
    r"|cudaMalloc\w*\([^)]*\)? ?.*failed|cudaMalloc\w* failed"
    r"|out of memory|OUT_OF_MEMORY|MemoryAllocation|ALLOC_FAILED"
    r"|std::bad_alloc"
    r"|memory allocation of \d+ bytes failed",  # libraries in Rust
    re.IGNORECASE,
)


def says_out_of_memory(text: str) -> bool:
    """Return whether the message of a library means that memory ran out."""
    return _TEXTS.search(text) is not None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception means that host or device memory ran out."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError | ValueError) and says_out_of_memory(str(error))
