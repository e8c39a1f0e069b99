"""Kernels of our own on CUDA: by NVRTC where that works, by MLX where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import pytest

from scorer.device import kernel_build
from scorer.device.kernel_build import CudaSource, PrecompiledKernel, build_kernel
from scorer.device.nvrtc import NvrtcError
from scorer.metrics.fused_kernel import body_source, header_source

BODY = "  out[0] = x_shape[1] * N;\n"
SOURCE = CudaSource("twice", "// header", BODY, ("x", "y"), ("out",))
CALL: dict[str, Any] = {
    "grid": (64, 1, 1),
    "threadgroup": (32, 1, 1),
    "output_shapes": [(1,)],
    "output_dtypes": [mx.float32],
}


class Compiler:
    """Keeps what it is given; its machine code is the number of the source."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.sources: list[str] = []

    def cubin(self, source: str, architecture: str) -> bytes:
        assert architecture == "sm_90a"
        if self.fault:
            raise NvrtcError(self.fault)
        self.sources.append(source)
        return b"%d" % len(self.sources)


@pytest.fixture(autouse=True)
def _on_the_cpu_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    info = {"compute_capability_major": 9, "compute_capability_minor": 0}
    monkeypatch.setattr(mx, "device_info", lambda: info)
    with mx.stream(mx.cpu):
        yield


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of every kernel that MLX was given as machine code."""
    calls: list[dict[str, Any]] = []

    def launch(**arguments: Any) -> list[mx.array]:
        calls.append(arguments)
        return [mx.zeros((1,))]

    monkeypatch.setattr(mx.fast, "precompiled_cuda_kernel", launch, raising=False)
    return calls


def plain(**_: Any) -> list[mx.array]:
    return [mx.ones((1,))]


def test_the_source_has_the_signature_that_mlx_gives() -> None:
    x, y = mx.zeros((3, 5), mx.bfloat16), mx.zeros((1,), mx.int32)
    text = SOURCE.text("twice_0", [x, y], [mx.float32], [("T", mx.bfloat16), ("N", 2)])
    assert SOURCE.shapes([x, y]) == [3, 5]
    assert text == (
        "#include <cuda_bf16.h>\n#include <cuda_fp16.h>\n\n// header\n"
        'extern "C" __global__ void twice_0(const __nv_bfloat16* x, const int* y, float* out, '
        "int x_shape_0, int x_shape_1) {\n"
        "  const int x_shape[] = {x_shape_0, x_shape_1};\n"
        "  using T = __nv_bfloat16;\n"
        "  constexpr int N = 2;\n" + BODY + "}\n"
    )


def test_it_is_compiled_once_for_each_set_of_values(launched: list[dict[str, Any]]) -> None:
    compiler: Any = Compiler()
    kernel = PrecompiledKernel(SOURCE, compiler, plain)
    x, y = mx.zeros((3, 5)), mx.zeros((1,), mx.int32)
    for values in (1, 2, 1, 2):
        kernel(inputs=[x, y], template=[("N", values)], **CALL)
    kernel(inputs=[x.astype(mx.float16), y], template=[("N", 1)], **CALL)
    assert len(compiler.sources) == 3
    assert [call["compiled_source"] for call in launched] == [b"1", b"2", b"1", b"2", b"3"]
    assert [call["name"] for call in launched] == [f"twice_{i}" for i in (0, 1, 0, 1, 2)]
    assert all(call["scalars"] == [3, 5] and call["grid"] == (64, 1, 1) for call in launched)
    assert all(call["ensure_row_contiguous"] for call in launched)


@pytest.mark.parametrize("dtype", [mx.float32, mx.complex64])
def test_what_nvrtc_cannot_compile_is_left_to_mlx(
    launched: list[dict[str, Any]], dtype: mx.Dtype
) -> None:
    """A source that it refuses, and a dtype that has no name here."""
    compiler: Any = Compiler("no" if dtype == mx.float32 else "")
    kernel = PrecompiledKernel(SOURCE, compiler, plain)
    inputs = [mx.zeros((3, 5), dtype), mx.zeros((1,), mx.int32)]
    for _ in range(2):
        (made,) = kernel(inputs=inputs, template=[("N", 1)], **CALL)
        assert made.item() == 1
    assert not launched


def test_which_kernels_nvrtc_compiles(
    monkeypatch: pytest.MonkeyPatch, launched: list[dict[str, Any]]
) -> None:
    given: list[dict[str, Any]] = []

    def build(**arguments: Any) -> Any:
        given.append(arguments)
        return plain

    monkeypatch.setattr(mx.fast, "cuda_kernel", build)
    monkeypatch.setattr(mx.fast, "metal_kernel", build)
    found: list[Any] = [Compiler()]
    monkeypatch.setattr(kernel_build, "nvrtc", lambda: found[0])
    parts: dict[str, Any] = {"header": "", "body": BODY, "inputs": ["x", "y"], "outputs": ["out"]}
    assert isinstance(build_kernel("cuda", "k", **parts), PrecompiledKernel)
    assert build_kernel("metal", "k", **parts) is plain
    # Strides are known to MLX alone.
    assert build_kernel("cuda", "k", **parts, ensure_row_contiguous=False) is plain
    assert given[-1]["ensure_row_contiguous"] is False
    found[0] = None
    assert build_kernel("cuda", "k", **parts) is plain
    assert given[0]["name"] == given[1]["name"] and given[0]["name"].startswith("k_")
    found[0] = Compiler()
    monkeypatch.delattr(mx.fast, "precompiled_cuda_kernel")
    assert build_kernel("cuda", "k", **parts) is plain


def test_the_metrics_kernel_asks_for_what_it_is_given() -> None:
    """Shapes alone, and of `p` alone: the rest of MLX's signature has no stand-in here."""
    text = header_source("cuda") + body_source("cuda")
    assert "p_shape[1]" in text
    for name in ("p", "q", "targets", "given_values", "given_tops"):
        assert f"{name}_strides" not in text and f"{name}_ndim" not in text
