"""Kernels of our own for CUDA and Metal, built from source files that lie beside the code."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx

from scorer.common.device_kind import GpuKind
from scorer.device.nvrtc import HEADERS, Nvrtc, NvrtcError, nvrtc

_CUDA_TYPES = {
    mx.float32: "float",
    mx.float16: "__half",
    mx.bfloat16: "__nv_bfloat16",
    mx.int32: "int",
    mx.uint8: "unsigned char",
}


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
    shell: GpuKind,
    name: str,
    *,
    header: str,
    body: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    **options: Any,
) -> Any:
    """A kernel; compiled at its first call for each set of template values.

    Args:
        shell: ``cuda`` or ``metal``.
        name: Prefix of the kernel's name.
        header: Source in front of the kernel.
        body: Source of the kernel's body.
        inputs: Names of the input arrays.
        outputs: Names of the output arrays.
        options: What else MLX's ``cuda_kernel`` and ``metal_kernel`` take.

    Returns:
        What MLX's ``cuda_kernel`` and ``metal_kernel`` return, called with the same arguments.

    Raises:
        RuntimeError: MLX has no such backend here.
    """
    # MLX finds a compiled kernel by its name: another source is another name.
    digest = hashlib.sha256((header + body).encode()).hexdigest()[:12]
    build = mx.fast.cuda_kernel if shell == "cuda" else mx.fast.metal_kernel
    kernel = build(
        name=f"{name}_{digest}",
        input_names=list(inputs),
        output_names=list(outputs),
        header=header,
        source=body,
        **options,
    )
    # MLX hands strides to a kernel that it compiles itself, and to no other.
    if shell == "cuda" and not options and hasattr(mx.fast, "precompiled_cuda_kernel"):
        compiler = nvrtc()
        if compiler is not None:
            source = CudaSource(f"{name}_{digest}", header, body, tuple(inputs), tuple(outputs))
            return PrecompiledKernel(source, compiler, kernel)
    return kernel


class CudaSource:
    """Source of a kernel with the signature that MLX would give it.

    Args:
        name: Name of the kernel, to which the template values are added.
        header: Source in front of the kernel.
        body: Source of the kernel's body. ``x_shape`` stands for the shape of the input ``x``.
        inputs: Names of the input arrays.
        outputs: Names of the output arrays.
    """

    def __init__(
        self,
        name: str,
        header: str,
        body: str,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
    ) -> None:
        self.name = name
        self._header = header
        self._body = body
        self._inputs = inputs
        self._outputs = outputs
        self._shaped = [f"{name}_shape" in body for name in inputs]

    def shapes(self, inputs: Sequence[mx.array]) -> list[int]:
        """The shapes that the body uses, concatenated, in the order of the kernel's parameters.

        Args:
            inputs: The input arrays; any shape (d0, d1, …) and dtype.
        """
        return [
            size
            for array, shaped in zip(inputs, self._shaped, strict=True)
            if shaped
            for size in array.shape
        ]

    def text(
        self,
        name: str,
        inputs: Sequence[mx.array],
        output_dtypes: Sequence[mx.Dtype],
        template: Sequence[tuple[str, Any]],
    ) -> str:
        """The whole source.

        Args:
            name: Name of the kernel.
            inputs: The input arrays, of any shape, for their numbers of dimensions and dtypes
                (float32, float16, bfloat16, int32, uint8).
            output_dtypes: Of the output arrays, from the same dtypes.
            template: Names and values, each a dtype or a whole number.

        Raises:
            KeyError: A dtype has no name in CUDA here.
        """
        sizes = {
            own: [f"{own}_shape_{axis}" for axis in range(array.ndim)]
            for own, array, shaped in zip(self._inputs, inputs, self._shaped, strict=True)
            if shaped
        }
        parameters = [
            *(
                f"const {_CUDA_TYPES[array.dtype]}* {own}"
                for own, array in zip(self._inputs, inputs, strict=True)
            ),
            *(
                f"{_CUDA_TYPES[dtype]}* {own}"
                for own, dtype in zip(self._outputs, output_dtypes, strict=True)
            ),
            *(f"int {size}" for own in sizes for size in sizes[own]),
        ]
        lines = [
            *(f"const int {own}_shape[] = {{{', '.join(sizes[own])}}};" for own in sizes),
            *(
                f"using {key} = {_CUDA_TYPES[value]};"
                if isinstance(value, mx.Dtype)
                else f"constexpr int {key} = {value};"
                for key, value in template
            ),
        ]
        included = "".join(f"#include <{header}>\n" for header in HEADERS)
        signature = f'extern "C" __global__ void {name}({", ".join(parameters)})'
        opening = "".join(f"  {line}\n" for line in lines)
        return f"{included}\n{self._header}\n{signature} {{\n{opening}{self._body}}}\n"


class PrecompiledKernel:
    """A kernel that NVRTC compiles without MLX's headers, called as MLX's own is.

    Args:
        source: The kernel.
        compiler: Compiles it.
        plain: The same kernel as MLX builds it; does the work where NVRTC cannot.
    """

    def __init__(self, source: CudaSource, compiler: Nvrtc, plain: Any) -> None:
        self._source = source
        self._compiler = compiler
        self._plain = plain
        self._usable = True
        self._code: dict[tuple[Any, ...], tuple[str, bytes]] = {}

    def __call__(
        self,
        *,
        inputs: Sequence[mx.array],
        template: Sequence[tuple[str, Any]],
        grid: tuple[int, int, int],
        threadgroup: tuple[int, int, int],
        output_shapes: Sequence[tuple[int, ...]],
        output_dtypes: Sequence[mx.Dtype],
    ) -> list[mx.array]:
        """Run the kernel, with the arguments of one that ``mx.fast.cuda_kernel`` returns.

        Args:
            inputs: Arrays of the shapes and dtypes that the kernel's body expects.
            template: Names and values, each a dtype or a whole number.
            grid: Threads in each dimension.
            threadgroup: Threads of a block in each dimension.
            output_shapes: Shape of each output.
            output_dtypes: Dtype of each output.

        Returns:
            The outputs, lazy, in ``output_shapes`` and ``output_dtypes``.
        """
        if self._usable:
            try:
                name, code = self._compiled(inputs, output_dtypes, template)
            except (NvrtcError, KeyError):
                self._usable = False
        if not self._usable:
            made: list[mx.array] = self._plain(
                inputs=inputs,
                template=template,
                grid=grid,
                threadgroup=threadgroup,
                output_shapes=output_shapes,
                output_dtypes=output_dtypes,
            )
            return made
        return mx.fast.precompiled_cuda_kernel(
            name=name,
            compiled_source=code,
            inputs=inputs,
            output_shapes=output_shapes,
            output_dtypes=output_dtypes,
            scalars=self._source.shapes(inputs),
            grid=grid,
            threadgroup=threadgroup,
            ensure_row_contiguous=True,
        )

    def _compiled(
        self,
        inputs: Sequence[mx.array],
        output_dtypes: Sequence[mx.Dtype],
        template: Sequence[tuple[str, Any]],
    ) -> tuple[str, bytes]:
        """Name and code for inputs of any shape; compiled once per dtypes and dimensions."""
        key = (*template, *((array.dtype, array.ndim) for array in inputs), *output_dtypes)
        if key not in self._code:
            name = f"{self._source.name}_{len(self._code)}"
            text = self._source.text(name, inputs, output_dtypes, template)
            self._code[key] = name, self._compiler.cubin(text, _architecture())
        return self._code[key]


def _architecture() -> str:
    """The GPU's architecture as MLX names it to NVRTC."""
    info = mx.device_info()
    major, minor = info["compute_capability_major"], info["compute_capability_minor"]
    return f"sm_{major}{minor}{'a' if int(major) >= 9 else ''}"
