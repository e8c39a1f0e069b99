"""The fused metrics on a GPU: each pair of logit rows is read once and gives every scalar.

``source/arithmetic.h`` holds the arithmetic, an online softmax in float32 over both rows at once;
one shell for CUDA and one for Metal say how a block of threads reads and merges. Source of the
online form: Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx

from scorer.common.device_kind import GpuKind
from scorer.device.kernel_build import build_kernel, kernel_source

THREADS = 256
"""Threads of a block; each takes eight columns at a time."""

# Columns of `values`.
KL, REF_TOP_LOGIT, REF_LOG_SUM, REF_TARGET, QUANT_TOP_LOGIT, QUANT_LOG_SUM, QUANT_TARGET = range(7)

_FOLDER = Path(__file__).parent / "source"
_INPUTS = ["p", "q", "targets", "given_values", "given_tops"]
_OUTPUTS = ["values", "tops"]
_REFERENCE, _AGAINST = range(2)


class FusedRows(NamedTuple):
    """What the kernel makes of N pairs of rows; lazy.

    Attributes:
        values: (N, 7) float32, nats: KL; of the reference the top logit, the logarithm of the sum
            of exponentials below it, and the target's log-probability; the same of the candidate.
            A log-sum-exp is the top logit plus that logarithm, and the top token's log-probability
            is its negative.
        tops: (N, 2) int32: top tokens of reference and candidate, the lowest index of a tie.
    """

    values: mx.array
    tops: mx.array


def header_source(shell: GpuKind) -> str:
    """Everything before the kernel: the shell's own definitions around the arithmetic."""
    return kernel_source(_FOLDER, f"{shell}_header", "arithmetic")


def body_source(shell: GpuKind) -> str:
    """The kernel's body."""
    rows, finish = (kernel_source(_FOLDER, name) for name in (f"{shell}_rows", "finish"))
    return rows.replace("    // FINISH\n", finish)


class FusedKernel:
    """The kernel on this device; compiled for a dtype and mode at its first use.

    Args:
        shell: Which of the two to build.

    Raises:
        RuntimeError: MLX has no such backend here.
    """

    def __init__(self, shell: GpuKind) -> None:
        self.shell = shell
        self._kernel: Any = build_kernel(
            shell,
            "qfid_metrics",
            header=header_source(shell),
            body=body_source(shell),
            inputs=_INPUTS,
            outputs=_OUTPUTS,
        )
        self._nothing = FusedRows(mx.zeros((1, 7), mx.float32), mx.zeros((1, 2), mx.int32))
        mx.eval(*self._nothing)

    def reference(self, p: mx.array, targets: mx.array) -> FusedRows:
        """The reference's part alone; KL and the candidate's columns are undefined.

        Args:
            p: (N, V) logits, float32, float16 or bfloat16.
            targets: (N,) int32 tokens, each below V.
        """
        return self._run(_REFERENCE, p, p, targets, None)

    def against(self, given: FusedRows, p: mx.array, q: mx.array, targets: mx.array) -> FusedRows:
        """Both rows, the reference's part given.

        Args:
            given: The reference's part, from :meth:`reference` on ``p``.
            p: (N, V) logits of the reference.
            q: (N, V) logits of the candidate, of the same dtype.
            targets: (N,) int32 tokens, each below V.
        """
        return self._run(_AGAINST, p, q, targets, given)

    def _run(
        self, mode: int, p: mx.array, q: mx.array, targets: mx.array, given: FusedRows | None
    ) -> FusedRows:
        if p.ndim != 2 or p.shape != q.shape or p.dtype != q.dtype:
            raise ValueError(
                f"rows of one shape and dtype, not {p.dtype} {p.shape}, {q.dtype} {q.shape}"
            )
        rows = p.shape[0]
        given = self._nothing if given is None else given
        values, tops = self._kernel(
            inputs=[p, q, targets, *given],
            template=[("T", p.dtype), ("MODE", mode)],
            grid=(rows * THREADS, 1, 1),
            threadgroup=(THREADS, 1, 1),
            output_shapes=[(rows, 7), (rows, 2)],
            output_dtypes=[mx.float32, mx.int32],
        )
        return FusedRows(values, tops)
