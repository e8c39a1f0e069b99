"""Kernels of MLX's own that can be compiled ahead of their first use, as values.

On CUDA MLX compiles many of its kernels when it first meets them, a few seconds each and half a
minute for a quantized matmul, and keeps them on disk. A task describes an operation on arrays
that are small and select the same kernel as those of a run. Imports no mlx.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Operation = Literal["take", "swiglu", "quantized_matmul"]


@dataclass(frozen=True, slots=True)
class KernelTask:
    """An operation to run once.

    Attributes:
        label: What is compiled, for a line of progress, such as ``4-bit keys``.
        operation: ``take``: rows of a matrix by int32 indices. ``swiglu``: mlx-lm's activation.
            ``quantized_matmul``: x times a matrix that is quantized first.
        dtype: Of the arrays, such as ``bfloat16``.
        x: Shape of x; of ``quantized_matmul`` alone, as all that follows.
        matrix: Shape of the matrix before it is quantized: (…, N, K) transposed, else (…, K, N).
        transpose: Whether the matrix is transposed.
        bits: Bits a code.
        group_size: Elements that share a scale and a bias.
        mode: MLX's mode of quantization.
    """

    label: str
    operation: Operation
    dtype: str
    x: tuple[int, ...] = ()
    matrix: tuple[int, ...] = ()
    transpose: bool = False
    bits: int = 0
    group_size: int = 0
    mode: str = "affine"

    def to_json(self) -> dict[str, Any]:
        """The task as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> KernelTask:
        """The task of JSON values that :meth:`to_json` gave."""
        return cls(**{**values, "x": tuple(values["x"]), "matrix": tuple(values["matrix"])})

    def mark(self, folder: Path) -> Path:
        """The file that says that a folder of compiled kernels holds this task's."""
        values = {**self.to_json(), "label": ""}
        digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
        return folder / "tasks" / f"{self.operation}-{digest}"
