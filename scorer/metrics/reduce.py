"""Reduces logits to per-position scalars on each device; all methods agree with the definition.

``numpy`` computes on the host with float64 sums, ``fused`` on a GPU with this package's kernel,
``mlx`` on the device with MLX operations in float32 and log-sum-exp, ``plain`` is the float64
definition.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, Protocol, cast

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from scorer.common.device_kind import DeviceKind
from scorer.device.dispatch import dispatch, dispatch_read
from scorer.metrics.definition import LOWEST_KL, Reference, TileScalars
from scorer.metrics.fused_kernel import REF_TARGET, FusedKernel, FusedRows
from scorer.metrics.fused_selftest import tile_scalars, usable_kernel

MetricsName = Literal["numpy", "fused", "mlx", "plain"]

PendingScalars = TileScalars | FusedRows
"""The comparison of two tiles: scalars, or pending arrays of the device."""


def wait_for(started: PendingScalars) -> None:
    """Wait until the device has computed a comparison."""
    if isinstance(started, FusedRows):
        mx.eval(*started)


def arrays_of(started: PendingScalars) -> list[mx.array]:
    """Return the arrays of a comparison that have to be read: (N, 7) float32, (N, 2) int32."""
    return list(started) if isinstance(started, FusedRows) else []


def scalars_of(started: PendingScalars, found: Iterator[NDArray[Any]]) -> TileScalars:
    """Return the scalars of a comparison.

    Args:
        started: The comparison.
        found: Contents of :func:`arrays_of`, (N, 7) float32 and (N, 2) int32; none if it is done.
    """
    return tile_scalars(next(found), next(found)) if isinstance(started, FusedRows) else started


class ReferenceTile(Protocol):
    """The reference's part of a tile, shared by all settings."""

    @property
    def nll(self) -> NDArray[np.float64]:
        """(B · T,) float64, −log p(target) of the reference, nats."""

    def wait(self) -> None:
        """Wait until the device has computed the reference's part."""

    def compare(self, logits: mx.array) -> TileScalars:
        """Return the scalars of a candidate.

        Args:
            logits: (B, T, V) of any float dtype; scalars are in batch-major order.
        """

    def start(self, logits: mx.array) -> PendingScalars:
        """Dispatch :meth:`compare` without waiting, if the device is asynchronous.

        Args:
            logits: (B, T, V) of any float dtype.
        """


class Metrics:
    """Reduces tiles of logits to scalars with one of the named methods.

    Args:
        name: The method; ``fused`` falls back to ``mlx`` for logits without a usable kernel.
        device: The device of ``fused``.

    Attributes:
        lowest_kl: The lowest KL that rounding explains, nats; below it the arithmetic is wrong.
    """

    def __init__(self, name: MetricsName, device: DeviceKind = "cpu") -> None:
        self.name = name
        # MLX and the kernel sum in float32.
        self.lowest_kl = LOWEST_KL if name in ("numpy", "plain") else 100 * LOWEST_KL
        self._device = device

    @classmethod
    def for_device(cls, device: DeviceKind) -> Metrics:
        """Return the fastest method of a device."""
        return cls("numpy" if device == "cpu" else "fused", device)

    def reference(self, logits: mx.array, targets: mx.array) -> ReferenceTile:
        """Compute the reference's part of a tile.

        Args:
            logits: (B, T, V) of any float dtype, logits of the reference.
            targets: (B, T) int32, the target tokens.
        """
        if self.name == "fused":
            kernel, _ = usable_kernel(self._device, logits.dtype)
            if kernel is not None:
                return _FusedTile(kernel, logits, targets)
        if self.name in ("fused", "mlx"):
            return _DeviceTile(logits, targets)
        return _HostTile(logits, np.array(targets).reshape(-1), plain=self.name == "plain")


def host_rows(logits: mx.array) -> NDArray[np.float32]:
    """Return logits (B, T, V) as (B · T, V) float32 on the host, without a copy if possible."""
    rows = mx.contiguous(logits.astype(mx.float32).reshape(-1, logits.shape[-1]))
    mx.eval(rows)
    view: NDArray[np.float32] = np.asarray(memoryview(cast(Any, rows)))
    return view


class _HostTile:
    """A tile of the methods ``numpy`` and ``plain``."""

    def __init__(self, logits: mx.array, targets: NDArray[Any], *, plain: bool) -> None:
        self._reference = Reference(host_rows(logits), targets, plain=plain)

    def wait(self) -> None:
        """Return at once: the part is computed already."""

    @property
    def nll(self) -> NDArray[np.float64]:
        """(B · T,) float64, −log p(target) of the reference, nats."""
        return -self._reference.target_logprob

    def compare(self, logits: mx.array) -> TileScalars:
        """Return the scalars of a candidate's logits, (B, T, V) of any float dtype."""
        return self._reference.compare(host_rows(logits))

    def start(self, logits: mx.array) -> PendingScalars:
        """Return the scalars of a candidate's logits, (B, T, V) of any float dtype."""
        return self.compare(logits)


class _FusedTile:
    """A tile of the method ``fused``."""

    def __init__(self, kernel: FusedKernel, logits: mx.array, targets: mx.array) -> None:
        self._kernel = kernel
        self._rows = logits.reshape(-1, logits.shape[-1])
        self._targets = targets.reshape(-1)
        self._part = kernel.reference(self._rows, self._targets)
        dispatch(self._rows, *self._part)

    def wait(self) -> None:
        """Wait until the device has computed the reference's part."""
        mx.eval(*self._part)

    @property
    def nll(self) -> NDArray[np.float64]:
        """(B · T,) float64, −log p(target) of the reference, nats."""
        return -np.array(self._part.values)[:, REF_TARGET].astype(np.float64)

    def compare(self, logits: mx.array) -> TileScalars:
        """Return the scalars of a candidate's logits, (B, T, V) of any float dtype."""
        started = self.start(logits)
        return scalars_of(started, iter(dispatch_read(arrays_of(started))()))

    def start(self, logits: mx.array) -> PendingScalars:
        """Dispatch the comparison with a candidate's logits, (B, T, V) of any float dtype."""
        rows = logits.reshape(self._rows.shape).astype(self._rows.dtype)
        pending = self._kernel.against(self._part, self._rows, rows, self._targets)
        dispatch(*pending)
        return pending


class _DeviceTile:
    """A tile of the method ``mlx``."""

    def __init__(self, logits: mx.array, targets: mx.array) -> None:
        self._targets = targets.reshape(-1, 1)
        self._shifted = _shifted_rows(logits)
        self._lse = mx.logsumexp(self._shifted, axis=-1, keepdims=True)
        self._top = mx.argmax(self._shifted, axis=-1)
        self._nll = self._lse - mx.take_along_axis(self._shifted, self._targets, axis=-1)
        mx.eval(self._shifted, self._lse, self._top, self._nll)

    def wait(self) -> None:
        """Return at once: the part is computed already."""

    @property
    def nll(self) -> NDArray[np.float64]:
        """(B · T,) float64, −log p(target) of the reference, nats."""
        return np.array(self._nll[:, 0]).astype(np.float64)

    def compare(self, logits: mx.array) -> TileScalars:
        """Return the scalars of a candidate's logits, (B, T, V) of any float dtype."""
        rows = _shifted_rows(logits)
        lse = mx.logsumexp(rows, axis=-1, keepdims=True)
        log_p = self._shifted - self._lse
        p = mx.exp(log_p)
        kl = mx.where(p > 0, p * (log_p - (rows - lse)), 0).sum(axis=-1)
        top = mx.argmax(rows, axis=-1)
        nll = (lse - mx.take_along_axis(rows, self._targets, axis=-1))[:, 0]
        mx.eval(kl, top, nll, lse)

        def host(array: mx.array) -> NDArray[np.float64]:
            """Copy an array (B · T,) of any float dtype to the host as float64."""
            return np.array(array).astype(np.float64)

        return TileScalars(
            kl=host(kl),
            nll_ref=self.nll,
            nll_quant=host(nll),
            top_ref=np.array(self._top).astype(np.int32),
            top_ref_logprob=-host(self._lse[:, 0]),
            top_quant=np.array(top).astype(np.int32),
            top_quant_logprob=-host(lse[:, 0]),
        )

    def start(self, logits: mx.array) -> PendingScalars:
        """Return the scalars of a candidate's logits, (B, T, V) of any float dtype."""
        return self.compare(logits)


def _shifted_rows(logits: mx.array) -> mx.array:
    """Return rows (B · T, V) float32, shifted so that the maximum of each row is 0.

    The log-sum-exp of logits of some hundreds has a rounding error of 1e-5, as large as many KL
    values. For shifted rows it is at most log V.
    """
    rows = logits.reshape(-1, logits.shape[-1]).astype(mx.float32)
    return rows - rows.max(axis=-1, keepdims=True)
