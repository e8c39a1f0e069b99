"""Which devices reduce logits with the fused kernel: those on which it computes rightly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from fused_kernel_numpy import fused

from scorer.common.errors import InputError
from scorer.device.dispatch import dispatch_read
from scorer.metrics import fused_selftest
from scorer.metrics.definition import Reference
from scorer.metrics.fused_kernel import FusedKernel, FusedRows
from scorer.metrics.fused_selftest import hard_rows, tile_scalars, usable_kernel, worst_error
from scorer.metrics.reduce import Metrics, arrays_of, scalars_of


class HostKernel:
    """The kernel's two calls, answered by its transcription in NumPy."""

    built = 0

    def __init__(self, shell: str) -> None:
        type(self).built += 1

    def reference(self, p: mx.array, targets: mx.array) -> FusedRows:
        return self.answer(p, p, targets)

    def against(self, given: FusedRows, p: mx.array, q: mx.array, targets: mx.array) -> FusedRows:
        return self.answer(p, q, targets)

    def answer(self, p: mx.array, q: mx.array, targets: mx.array) -> FusedRows:
        rows = [np.array(side.astype(mx.float32)) for side in (p, q)]
        made: dict[str, Any] = fused(*rows, np.array(targets), 32)
        unused = np.zeros(len(rows[0]))
        columns = [
            made["kl"],
            unused,
            -made["top_ref_logprob"],
            -made["nll_ref"],
            unused,
            -made["top_quant_logprob"],
            -made["nll_quant"],
        ]
        values = np.stack(columns, 1).astype(np.float32)
        tops = np.stack([made["top_ref"], made["top_quant"]], 1).astype(np.int32)
        return FusedRows(mx.array(values), mx.array(tops))


class Unbuildable(HostKernel):
    def __init__(self, shell: str) -> None:
        raise RuntimeError("[metal_kernel] No Metal back-end.\nmore of it")


class FailsToCompile(HostKernel):
    def answer(self, *_: Any, **__: Any) -> FusedRows:
        raise RuntimeError("Failed to compile kernel: line 7: expected `;`.")


class Off(HostKernel):
    """Wrong in one scalar of one row."""

    column, by = 0, 1e-4

    def answer(self, p: mx.array, q: mx.array, targets: mx.array) -> FusedRows:
        values, tops = super().answer(p, q, targets)
        values[3, self.column] += self.by
        return FusedRows(values, tops)


class LosesNaN(HostKernel):
    def answer(self, p: mx.array, q: mx.array, targets: mx.array) -> FusedRows:
        values, tops = super().answer(p, q, targets)
        return FusedRows(mx.where(mx.isnan(values), 0, values), tops)


class LosesInfinity(HostKernel):
    def answer(self, p: mx.array, q: mx.array, targets: mx.array) -> FusedRows:
        values, tops = super().answer(p, q, targets)
        return FusedRows(mx.where(mx.isinf(values), 3e38, values), tops)


class LastOfATie(HostKernel):
    def answer(self, p: mx.array, q: mx.array, targets: mx.array) -> FusedRows:
        values, tops = super().answer(p, q, targets)
        rows = np.array(q.astype(mx.float32))
        last = rows.shape[1] - 1 - np.argmax(rows[:, ::-1], axis=1)
        return FusedRows(values, mx.stack([tops[:, 0], mx.array(last.astype(np.int32))], axis=1))


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("QFID_METRICS", raising=False)
    fused_selftest._checked.cache_clear()
    with mx.stream(mx.cpu):
        yield
    fused_selftest._checked.cache_clear()


def install(monkeypatch: pytest.MonkeyPatch, kernel: type[HostKernel]) -> type[HostKernel]:
    monkeypatch.setattr(fused_selftest, "FusedKernel", kernel)
    return kernel


def tile(dtype: mx.Dtype) -> tuple[mx.array, mx.array, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    p = rng.standard_normal((2, 5, 70))
    q = p + 0.1 * rng.standard_normal(p.shape)
    return mx.array(p).astype(dtype), mx.array(q).astype(dtype), rng.integers(0, 70, (2, 5))


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
@pytest.mark.parametrize("device", ["cuda", "metal"])
def test_a_kernel_that_computes_rightly_is_used(
    monkeypatch: pytest.MonkeyPatch, device: Any, dtype: mx.Dtype
) -> None:
    install(monkeypatch, HostKernel)
    p, q, targets = tile(dtype)
    made = Metrics.for_device(device).reference(p, mx.array(targets))
    assert type(made).__name__ == "_FusedTile"
    started = made.start(q)
    got = scalars_of(started, iter(dispatch_read(arrays_of(started))()))
    wide = [np.array(side.astype(mx.float32)).reshape(10, 70) for side in (p, q)]
    expected = Reference(wide[0], targets.reshape(-1), plain=True).compare(wide[1])
    for name in ("kl", "nll_ref", "nll_quant", "top_ref_logprob", "top_quant_logprob"):
        np.testing.assert_allclose(getattr(got, name), getattr(expected, name), atol=1e-5)
        assert getattr(got, name).dtype == np.float64
    np.testing.assert_array_equal(got.top_ref, expected.top_ref)
    np.testing.assert_array_equal(got.top_quant, expected.top_quant)
    np.testing.assert_array_equal(made.nll, got.nll_ref)


@pytest.mark.parametrize(
    ("kernel", "why"),
    [
        (Unbuildable, "does not build here: [metal_kernel] No Metal back-end."),
        (FailsToCompile, "does not build here: Failed to compile kernel: line 7"),
        (Off, "computes wrongly here, off by"),
        (type("OffNll", (Off,), {"column": 6}), "computes wrongly here"),
        (LosesNaN, "computes wrongly here, off by inf"),
        (LosesInfinity, "computes wrongly here, off by inf"),
        (LastOfATie, "computes wrongly here, off by inf"),
    ],
)
def test_any_other_leaves_the_plain_path(
    monkeypatch: pytest.MonkeyPatch, kernel: type[HostKernel], why: str
) -> None:
    install(monkeypatch, kernel)
    found, reason = usable_kernel("metal", mx.float32)
    assert found is None
    assert why in reason
    assert "\n" not in reason
    p, q, targets = tile(mx.float32)
    made = Metrics.for_device("metal").reference(p, mx.array(targets))
    assert type(made).__name__ == "_DeviceTile"
    assert np.isfinite(made.compare(q).kl).all()


def test_it_is_checked_once_for_each_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = install(monkeypatch, type("Counted", (HostKernel,), {"built": 0}))
    for _ in range(3):
        for dtype in (mx.float32, mx.bfloat16):
            usable_kernel("cuda", dtype)
    assert kernel.built == 2


def test_a_variable_switches_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, HostKernel)
    monkeypatch.setenv("QFID_METRICS", "plain")
    assert usable_kernel("cuda", mx.float32) == (None, "switched off by QFID_METRICS")
    monkeypatch.setenv("QFID_METRICS", "fastest")
    with pytest.raises(InputError, match="`fastest` is not a value"):
        usable_kernel("cuda", mx.float32)


def test_the_cpu_reduces_in_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = install(monkeypatch, type("Counted", (HostKernel,), {"built": 0}))
    assert usable_kernel("cpu", mx.float32)[0] is None
    assert kernel.built == 0


def test_without_a_gpu_neither_shell_builds() -> None:
    if mx.metal.is_available() or mx.cuda.is_available():
        pytest.skip("there is a GPU here")
    for device in ("cuda", "metal"):
        found, reason = usable_kernel(device, mx.float32)  # type: ignore[arg-type]
        assert found is None
        assert "does not build here" in reason


def test_both_calls_are_held_against_the_definition() -> None:
    kernel: Any = HostKernel("cuda")
    assert worst_error(kernel, mx.float32) < 1e-5


def test_the_hard_rows_are_hard() -> None:
    p, q = hard_rows(1031)
    with np.errstate(invalid="ignore"):
        expected = Reference(p, np.zeros(len(p), int), plain=True).compare(q)
    assert np.isnan(expected.kl).any() and np.isposinf(expected.kl).any()
    finite = expected.kl[np.isfinite(expected.kl)]
    assert (finite == 0).any() and (finite > 1e3).any() and ((0 < finite) & (finite < 1e-5)).any()
    assert (np.sort(q, axis=1)[:, -1] == np.sort(q, axis=1)[:, -2]).any()


def test_rows_that_do_not_match_are_refused() -> None:
    kernel: Any = object.__new__(FusedKernel)
    rows = mx.zeros((2, 5))
    for other in (mx.zeros((2, 6)), mx.zeros((2, 5), mx.float16)):
        with pytest.raises(ValueError, match="one shape and dtype"):
            kernel.against(FusedRows(rows, rows), rows, other, mx.zeros((2,), mx.int32))
    with pytest.raises(ValueError, match="one shape and dtype"):
        kernel.reference(rows[None], mx.zeros((2,), mx.int32))


def test_scalars_of_a_tile_are_named_as_the_kernel_orders_them() -> None:
    values = np.arange(14, dtype=np.float32).reshape(2, 7)
    got = tile_scalars(values, np.array([[1, 2], [3, 4]], np.int32))
    assert got.kl.tolist() == [0, 7]
    assert got.nll_ref.tolist() == [-3, -10]
    assert got.nll_quant.tolist() == [-6, -13]
    assert got.top_ref_logprob.tolist() == [-2, -9]
    assert got.top_quant_logprob.tolist() == [-5, -12]
    assert (got.top_ref.tolist(), got.top_quant.tolist()) == ([1, 3], [2, 4])
