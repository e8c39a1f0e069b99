"""What a description of a quantizer says, whatever the quantizer."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Self, cast


class Quantizer(ABC):
    """A quantizer with its parameters: how one side of a cache is stored, as a value.

    A subclass is a frozen dataclass. It knows no arithmetic: ``scorer.quantizers`` computes what
    is described here, under the same name.

    Attributes:
        name: Name in the notation of settings.
        widths: Bits per element that it can store, ascending.
        groups: Group sizes that it can store, ascending.
        default_group: The one that its notation leaves out.
    """

    __slots__ = ()

    name: ClassVar[str]
    widths: ClassVar[tuple[int, ...]]
    groups: ClassVar[tuple[int, ...]]
    default_group: ClassVar[int]

    @classmethod
    @abstractmethod
    def read(cls, number: str, group_size: int, params: Mapping[str, str]) -> Self:
        """Make the quantizer from one side of a setting's notation.

        Args:
            number: The number behind the name, ``4`` in ``name4:32``; "" where there is none.
            group_size: The group size, resolved: where the notation names none, the default.
            params: Further parameters by name.

        Raises:
            InputError: A parameter is not legal.
        """

    @property
    @abstractmethod
    def bits(self) -> int:
        """Bits per element, those of scales and biases not counted."""

    @property
    @abstractmethod
    def group_size(self) -> int:
        """Elements that are quantized together."""

    def with_group(self, size: int) -> Self:
        """The same quantizer with groups of another size.

        Raises:
            InputError: It has no such size.
        """
        made: Self = dataclasses.replace(cast(Any, self), group_size=size)
        return made

    @property
    @abstractmethod
    def notation(self) -> str:
        """This side of a setting in canonical notation; defaults are left out."""

    @property
    @abstractmethod
    def bytes_per_element(self) -> float:
        """Stored bytes per element, scales and biases included, at the 16-bit deployment dtype."""

    @abstractmethod
    def takes(self, dim: int) -> bool:
        """Whether it can store heads of ``dim`` elements; 0 elements need nothing."""

    @classmethod
    def legal_groups(cls, dims: Collection[int]) -> tuple[int, ...]:
        """The group sizes that divide every one of ``dims``, ascending."""
        return tuple(g for g in cls.groups if all(dim % g == 0 for dim in dims))
