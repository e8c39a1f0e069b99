"""MLX's affine quantizer: codes with a scale and a bias for each group of elements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from scorer.common.errors import InputError
from scorer.spec.quantizers.base import Quantizer


@dataclass(frozen=True, slots=True)
class Affine(Quantizer):
    """MLX's affine quantizer.

    Attributes:
        bits: Bits per code: 2, 3, 4, 5, 6 or 8.
        group_size: Elements that share a scale and a bias: 32, 64 or 128.

    Raises:
        InputError: MLX has no such width or group size.
    """

    name: ClassVar[str] = "affine"
    widths: ClassVar[tuple[int, ...]] = (2, 3, 4, 5, 6, 8)
    groups: ClassVar[tuple[int, ...]] = (32, 64, 128)
    default_group: ClassVar[int] = 64

    bits: int
    group_size: int = default_group

    def __post_init__(self) -> None:
        if self.bits not in self.widths:
            raise InputError(
                f"`{self.bits}` bits is not a width MLX can quantize to",
                f"widths: {', '.join(map(str, self.widths))}",
            )
        if self.group_size not in self.groups:
            raise InputError(
                f"`{self.group_size}` is not a group size MLX can quantize with",
                f"group sizes: {', '.join(map(str, self.groups))}",
            )

    @classmethod
    def read(cls, number: str, group_size: int, params: Mapping[str, str]) -> Affine:
        """Make the quantizer from one side of a setting's notation; see the base class."""
        if params:
            raise InputError(f"`{cls.name}` has no parameter `{next(iter(params))}`")
        if not number.isdecimal():
            raise InputError(
                f"`{number}` is not a number of bits",
                f"widths: {', '.join(map(str, cls.widths))}",
            )
        return cls(int(number), group_size)

    @property
    def notation(self) -> str:
        """``4``, or ``4:32``: a number of bits alone stands for this quantizer."""
        group = "" if self.group_size == self.default_group else f":{self.group_size}"
        return f"{self.bits}{group}"

    @property
    def bytes_per_element(self) -> float:
        """Codes plus a 16-bit scale and bias per group. Source: definitions, "Cost"."""
        return self.bits / 8 + 4 / self.group_size

    def takes(self, dim: int) -> bool:
        """Whether the group size divides ``dim``."""
        return dim % self.group_size == 0
