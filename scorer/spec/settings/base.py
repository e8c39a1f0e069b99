"""What every kind of setting answers."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from scorer.spec.geometry import KVGeometry
from scorer.spec.sides import LayerSides
from scorer.spec.thresholds import Thresholds

ComputePath = Literal["deployed", "dequantized"]
"""What is computed: what a runtime computes, or the quantizer's own error alone."""

# What version 0.1 could write, and its marks in the names of exported files.
_FIRST_GRAMMAR = re.compile(r"(?:[0-9]+|k[0-9]+v[0-9]+)(?::[0-9]+)?(?:@[0-9]+)?(?:~\w+)?")
_MARKS = str.maketrans({":": "g", "@": "s", "~": "-"})
_UNSAFE = re.compile(r"[^A-Za-z0-9._]+")
_HASH_DIGITS = 6

STOCK_METHOD = "stock"
"""Name of MLX's own quantizer with equal widths in mlx-quant-fidelity's reports."""


@dataclass(frozen=True, slots=True)
class KVMethod:
    """How a setting quantizes the KV cache, in the words of mlx-quant-fidelity's report.

    Attributes:
        name: :data:`STOCK_METHOD`, else the quantizer's name.
        bits: Bits per element of keys and values; None where they differ.
        group_size: Elements that are quantized together.
        params: The method's parameters by name.
    """

    name: str
    bits: int | None
    group_size: int
    params: Mapping[str, int]

    @property
    def is_stock(self) -> bool:
        """Whether it is the one that ``mlx_lm.generate`` has flags for."""
        return self.name == STOCK_METHOD


class Setting(ABC):
    """One way to quantize a model, to be compared with the model at full precision.

    A value: equal settings have equal keys and hash alike. A subclass is a frozen dataclass, and
    its kind has a parser in :mod:`scorer.spec.settings.registry`.

    Attributes:
        kind: Name of the kind in the registry.
    """

    __slots__ = ()

    kind: ClassVar[str]

    @property
    @abstractmethod
    def key(self) -> str:
        """The setting in canonical notation: what it is stored and shown by.

        It holds everything that was asked and changes a number. Parsing it gives the setting.
        """

    @property
    @abstractmethod
    def start(self) -> int:
        """First tokens that run at full precision and are not scored; 0 scores all."""

    @property
    @abstractmethod
    def path(self) -> ComputePath:
        """What is computed."""

    @property
    @abstractmethod
    def thresholds(self) -> Thresholds:
        """The bounds of its verdict."""

    @property
    @abstractmethod
    def kv_method(self) -> KVMethod:
        """How it quantizes the KV cache, for reports."""

    @abstractmethod
    def sides(self, geometry: KVGeometry) -> list[LayerSides]:
        """How each cache of ``geometry.layers`` is stored, in their order."""

    @abstractmethod
    def check(self, geometry: KVGeometry) -> None:
        """See that a model of this geometry can be quantized so.

        Raises:
            InputError: It cannot; names the setting, what stands against it and what would do.
        """

    @property
    def written(self) -> str:
        """The setting as a job keeps it: the key, and whatever was asked that the key leaves out.

        Parsing it gives the setting, and resolving that the same for every model.
        """
        return self.key

    def resolved(self, geometry: KVGeometry) -> Self:
        """The setting for a model of this geometry, with what was not asked for chosen.

        It is the resolved setting that is scored, stored and shown.
        """
        return self

    def fitting(self, geometry: KVGeometry) -> Self | None:
        """What comes nearest of all that :meth:`check` accepts; None where nothing does."""
        return None

    @abstractmethod
    def control(self) -> Self:
        """The same quantization on the dequantized path; itself where it is on it already."""

    def fingerprint(self) -> Mapping[str, str]:
        """What the key resolves to now, beside the key itself.

        For example the revision of a repo or the hash of a file that the key names. It is stored
        with the setting's results; the same key with another fingerprint is another computation.

        Returns:
            Names and values; empty where the key says everything.
        """
        return {}

    def bytes_per_token(self, geometry: KVGeometry, context: int | None = None) -> float:
        """Stored bytes per token; see :meth:`KVGeometry.bytes_per_token`."""
        return geometry.bytes_per_token(self.sides(geometry), context)

    def first_position(self, scored_from: int) -> int:
        """First scored position of a chunk, where the protocol scores from ``scored_from`` on."""
        return max(scored_from, self.start)

    @property
    def mode(self) -> Literal["stress", "deployment"]:
        """``stress`` when quantized from the first token, else ``deployment``."""
        return "deployment" if self.start else "stress"

    @property
    def file_name(self) -> str:
        """The setting as part of a file's name: letters, digits, ``.``, ``_`` and ``-``.

        A key beyond the notation of version 0.1 ends in 6 hexadecimal digits of its SHA-256, so
        that different keys never give one name.
        """
        key = self.key
        if _FIRST_GRAMMAR.fullmatch(key):
            return _safe(key.translate(_MARKS))
        import hashlib

        return f"{_safe(key)}-{hashlib.sha256(key.encode()).hexdigest()[:_HASH_DIGITS]}"

    def __str__(self) -> str:
        return self.key


def _safe(text: str) -> str:
    return _UNSAFE.sub("-", text).strip("-.")
