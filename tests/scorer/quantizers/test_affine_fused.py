"""The quantizer's kernel: its arithmetic compiled for the host, and where it is used."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from host_compiler import host_library
from numpy.typing import NDArray
from project import ROOT

from scorer.common.errors import InputError
from scorer.device.kernel_build import kernel_source
from scorer.quantizers import affine_fused as fused_quantizer
from scorer.quantizers.affine import Affine
from scorer.quantizers.affine_fused import (
    AffineFused,
    FusedQuantizer,
    hard_rows,
    usable_quantizer,
)
from scorer.quantizers.base import check_of

SOURCES = ROOT / "scorer" / "quantizers" / "source"
Values = NDArray[np.float32]
BITS, GROUPS = (2, 3, 4, 5, 6, 8), (32, 64, 128)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("QFID_QUANTIZER", raising=False)
    fused_quantizer._checked.cache_clear()
    with mx.stream(mx.cpu):
        yield
    fused_quantizer._checked.cache_clear()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return host_library("affine_host.cpp", tmp_path_factory.mktemp("affine"))


def compiled(
    library: ctypes.CDLL, x: Values, bits: int, group: int, way: int
) -> tuple[Values, bool]:
    out = np.full_like(x, np.nan)
    finite = library.affine_groups(
        way,
        ctypes.c_size_t(x.size // group),
        ctypes.c_size_t(group),
        ctypes.c_float(2**bits - 1),
        ctypes.c_void_p(x.ctypes.data),
        ctypes.c_void_p(out.ctypes.data),
    )
    return out, bool(finite)


def away(x: Values) -> Values:
    """Round half away from 0."""
    found: Values = np.copysign(np.floor(np.abs(x) + np.float32(0.5)), x)
    return found


def described(x: Values, bits: int, group: int) -> Values:
    """The rule of MLX's GPU backends, element by element, in float32."""
    groups, levels = x.reshape(-1, group), np.float32(2**bits - 1)
    restored = np.empty_like(groups)
    for row, out in zip(groups, restored, strict=True):
        low, high = row.min(), max(row.max(), np.float32(0))
        scale = max((high - low) / levels, np.float32(1e-7))
        edge = low if abs(low) > abs(high) else high
        scale = scale if abs(low) > abs(high) else -scale
        steps = away(edge / scale)
        bias = np.float32(0)
        if steps != 0:
            scale, bias = edge / steps, edge
        codes = np.clip(away((row - bias) / scale), 0, levels)
        out[:] = codes * scale + bias
    return restored.reshape(x.shape)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("group", GROUPS)
def test_the_arithmetic_is_the_rule(library: ctypes.CDLL, bits: int, group: int) -> None:
    x = hard_rows()[:260]
    got, finite = compiled(library, x, bits, group, 2)
    assert finite
    np.testing.assert_array_equal(got, described(x, bits, group))


def test_the_ways_differ_in_the_last_bit_alone(library: ctypes.CDLL) -> None:
    x = hard_rows()[:260]
    whole = [compiled(library, x, 5, 64, way)[0] for way in (0, 1, 2)]
    np.testing.assert_array_equal(whole[0], whole[2])
    assert not np.array_equal(whole[1], whole[2])
    np.testing.assert_allclose(whole[1], whole[2], rtol=1e-6, atol=2e-6 * np.abs(x).max())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_seen(library: ctypes.CDLL, bad: float) -> None:
    x = hard_rows()[:20].copy()
    assert compiled(library, x, 8, 64, 2)[1]
    x[11, 100] = bad
    assert not compiled(library, x, 8, 64, 2)[1]


class HostQuantizer:
    """The kernel's call, answered by MLX's own operations; right in one way of rounding."""

    right = 0

    def __init__(self, shell: str) -> None:
        pass

    def round_trip(
        self, x: mx.array, bits: int, group_size: int, rounding: int = 0
    ) -> tuple[mx.array, mx.array]:
        codes = mx.quantize(x, group_size=group_size, bits=bits)
        restored = mx.dequantize(*codes, group_size=group_size, bits=bits)
        if rounding != self.right:
            restored = mx.where(mx.arange(x.size).reshape(x.shape) == 70_000, 0.125, restored)
        return restored, self.flags(x, restored)

    def flags(self, x: mx.array, restored: mx.array) -> mx.array:
        return check_of(x, restored).astype(mx.uint32)


class Blind(HostQuantizer):
    """Does not see what is not finite."""

    def flags(self, x: mx.array, restored: mx.array) -> mx.array:
        return super().flags(x, restored) * mx.array([0, 1], mx.uint32)


class AlwaysChanged(HostQuantizer):
    def flags(self, x: mx.array, restored: mx.array) -> mx.array:
        return mx.maximum(super().flags(x, restored), mx.array([0, 1], mx.uint32))


class Unbuildable(HostQuantizer):
    def __init__(self, shell: str) -> None:
        raise RuntimeError("[metal_kernel] No Metal back-end.\nmore of it")


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
@pytest.mark.parametrize("way", [0, 1, 2])
def test_the_way_that_gives_mlxs_bits_is_taken(
    monkeypatch: pytest.MonkeyPatch, way: int, dtype: mx.Dtype
) -> None:
    kind = type("Right", (HostQuantizer,), {"right": way})
    monkeypatch.setattr(fused_quantizer, "FusedQuantizer", kind)
    found, why = usable_quantizer("cuda", dtype, 64)
    assert found is not None and found[1] == way, why


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (type("Off", (HostQuantizer,), {"right": 3}), "its bits are not those of MLX"),
        (Blind, "its bits are not those of MLX"),
        (AlwaysChanged, "its bits are not those of MLX"),
        (Unbuildable, "does not build here: [metal_kernel] No Metal back-end."),
    ],
)
def test_any_other_leaves_it_to_mlx(
    monkeypatch: pytest.MonkeyPatch, kind: type[HostQuantizer], why: str
) -> None:
    monkeypatch.setattr(fused_quantizer, "FusedQuantizer", kind)
    found, reason = usable_quantizer("metal", mx.float16, 64)
    assert found is None and why in reason and "\n" not in reason


def test_a_variable_switches_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_quantizer, "FusedQuantizer", HostQuantizer)
    monkeypatch.setenv("QFID_QUANTIZER", "plain")
    assert usable_quantizer("cuda", mx.float32, 64) == (None, "switched off by QFID_QUANTIZER")
    monkeypatch.setenv("QFID_QUANTIZER", "quick")
    with pytest.raises(InputError, match="`quick` is not a value"):
        usable_quantizer("cuda", mx.float32, 64)


def test_the_quantizer_takes_it_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    x = mx.array(hard_rows()[:40].reshape(1, 2, 20, 128))
    plain, check = Affine(4, 64).round_trip(x)
    seen: list[int] = []

    class Counted(HostQuantizer):
        def round_trip(self, *given: Any, **more: Any) -> tuple[mx.array, mx.array]:
            seen.append(given[1])
            return super().round_trip(*given, **more)

    monkeypatch.setattr(fused_quantizer, "FusedQuantizer", Counted)
    found, own = AffineFused(4, 64, "cuda").round_trip(x)
    assert seen[-1] == 4
    assert mx.array_equal(found, plain) and np.array(own).tolist() == np.array(check).tolist()


def test_what_no_kernel_can_compute_is_left_to_mlx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_quantizer, "FusedQuantizer", Unbuildable)
    x = mx.array(hard_rows()[:40])
    for restored, expected in zip(
        AffineFused(4, 64, "metal").round_trip(x), Affine(4, 64).round_trip(x), strict=True
    ):
        assert mx.array_equal(restored, expected)


def test_without_a_gpu_neither_shell_builds() -> None:
    if mx.metal.is_available() or mx.cuda.is_available():
        pytest.skip("there is a GPU here")
    for shell in ("cuda", "metal"):
        found, reason = usable_quantizer(shell, mx.float32, 64)  # type: ignore[arg-type]
        assert found is None and "does not build here" in reason


def test_the_kernels_sources_are_whole() -> None:
    for shell in ("cuda", "metal"):
        header = kernel_source(SOURCES, f"{shell}_affine_header", "affine")
        assert "qfid_affine(" in header and "// ARITHMETIC" not in header
        assert "qfid_restored<T>" in kernel_source(SOURCES, f"{shell}_affine_groups")
    assert FusedQuantizer.round_trip.__doc__
