"""Kernels of our own for CUDA and Metal, built from source files that lie beside the code."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx

from scorer.common.device_kind import Shell


def kernel_source(folder: Path, name: str, arithmetic: str = "") -> str:
    """A source file.

    Args:
        folder: Folder of the sources.
        name: Name of the file, without ``.h``.
        arithmetic: Name of the file that takes the place of the line ``// ARITHMETIC``; empty for
            none.
    """
    source = (folder / f"{name}.h").read_text(encoding="ascii")
    if not arithmetic:
        return source
    return source.replace("// ARITHMETIC\n", kernel_source(folder, arithmetic))


def build_kernel(
    shell: Shell,
    name: str,
    *,
    header: str,
    body: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    **options: Any,
) -> Any:
    """A kernel; MLX compiles it at its first call for each set of template values.

    Args:
        shell: ``cuda`` or ``metal``.
        name: Begin of the kernel's name.
        header: Source in front of the kernel.
        body: Source of the kernel's body.
        inputs: Names of the input arrays.
        outputs: Names of the output arrays.
        options: What else MLX's ``cuda_kernel`` and ``metal_kernel`` take.

    Raises:
        RuntimeError: MLX has no such backend here.
    """
    # MLX keeps compiled kernels on disk by name alone: another source is another name.
    digest = hashlib.sha256((header + body).encode()).hexdigest()[:12]
    build = mx.fast.cuda_kernel if shell == "cuda" else mx.fast.metal_kernel
    return build(
        name=f"{name}_{digest}",
        input_names=list(inputs),
        output_names=list(outputs),
        header=header,
        source=body,
        **options,
    )
