"""Settings of the KV cache: how keys and values are stored, from which token on, which path."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, get_args

from scorer.common.errors import InputError
from scorer.spec.amounts import whole_number
from scorer.spec.geometry import KVGeometry
from scorer.spec.quantizers.base import Quantizer
from scorer.spec.quantizers.known import QUANTIZERS, STOCK
from scorer.spec.settings.base import STOCK_METHOD, ComputePath, KVMethod, Setting
from scorer.spec.settings.grammar import (
    NOTATION_HINT,
    SettingForm,
    SideForm,
    parse_form,
    unknown,
)
from scorer.spec.sides import UNQUANTIZED, LayerSides, StoredSide
from scorer.spec.thresholds import KV, Thresholds

BITS = STOCK.widths
"""Widths that a number of bits alone can name."""

GROUP_SIZES = STOCK.groups
"""Group sizes for them."""

DEFAULT_GROUP = STOCK.default_group

FULL_PRECISION = 16
"""The width that stands for a side at full precision."""

Side = Quantizer | None
"""How one side is stored; None for full precision."""


@dataclass(frozen=True, slots=True, init=False)
class KVSetting(Setting):
    """One way to store the KV cache.

    Attributes:
        keys: The quantizer of the keys; None for full precision.
        values: The quantizer of the values, likewise; not None where the keys' is.
        start: 0 for stress (quantized from the first token); n > 0 for deployment: the first
            n tokens run at full precision, then the whole stored cache converts.
        path: ``deployed`` is what a runtime computes, ``dequantized`` the quantizer alone.
        group_given: Whether the group size was asked for; else it is the default, and
            :meth:`resolved` chooses a smaller one where that does not divide the heads.
    """

    kind: ClassVar[str] = "kv"

    keys: Side
    values: Side
    start: int
    path: ComputePath
    group_given: bool = field(compare=False)

    def __init__(
        self,
        k_bits: int,
        v_bits: int,
        group_size: int | None = None,
        start: int = 0,
        path: ComputePath = "deployed",
    ) -> None:
        """Keys and values in MLX's own quantizer.

        Args:
            k_bits: Bits per key element: 2, 3, 4, 5, 6, 8, or 16 for full precision.
            v_bits: Bits per value element, as ``k_bits``.
            group_size: Elements that share a scale and a bias: 32, 64 or 128; None for the
                default.
            start: As the attribute.
            path: As the attribute.

        Raises:
            InputError: A value is not legal, or nothing is quantized.
        """
        _check_widths(k_bits, v_bits)
        size = DEFAULT_GROUP if group_size is None else group_size
        keys, values = (
            None if bits == FULL_PRECISION else STOCK(bits, size) for bits in (k_bits, v_bits)
        )
        self._set(keys, values, start, path, group_size is not None)

    @classmethod
    def of(
        cls,
        keys: Side,
        values: Side,
        start: int = 0,
        path: ComputePath = "deployed",
        *,
        group_given: bool = True,
    ) -> KVSetting:
        """Keys and values in any quantizers; arguments as the attributes.

        Raises:
            InputError: A value is not legal, nothing is quantized, or the sides have groups of
                different sizes.
        """
        made = object.__new__(cls)
        made._set(keys, values, start, path, group_given)
        return made

    def _set(
        self, keys: Side, values: Side, start: int, path: ComputePath, group_given: bool
    ) -> None:
        sides = [side for side in (keys, values) if side is not None]
        if not sides:
            raise InputError(
                "`k16v16` quantizes nothing", "at least one side needs fewer than 16 bits"
            )
        if len({side.group_size for side in sides}) > 1:
            raise InputError(
                f"keys `{sides[0].notation}` and values `{sides[1].notation}`: this version does "
                "not know groups of different sizes",
                "give both sides one group size",
            )
        start = whole_number(start, "start")
        if start < 0:
            raise InputError(f"start `{start}` is negative", "0 is stress, N > 0 deployment")
        if path not in get_args(ComputePath):
            raise InputError(
                f"`{path}` is not a path", f"paths: {', '.join(get_args(ComputePath))}"
            )
        object.__setattr__(self, "keys", keys)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "group_given", group_given)

    @classmethod
    def from_form(
        cls,
        form: SettingForm,
        *,
        group_size: int | None = None,
        start: int = 0,
        path: ComputePath = "deployed",
    ) -> KVSetting:
        """Make the setting that is written so.

        Args:
            form: A setting of this kind.
            group_size: Group size where none is written; None for the default.
            start: Start where none is written.
            path: Path where none is written.

        Raises:
            InputError: It names a quantizer or an option that this version does not know, or a
                value that is not legal.
        """
        assert form.sides is not None
        if form.options:
            raise unknown(form, f"{form.options[0][0]}=")
        if not any(side.name for side in form.sides):
            _check_widths(*(int(side.number) for side in form.sides))
        size = DEFAULT_GROUP if group_size is None else group_size
        keys, values = (_quantizer(form, side, size) for side in form.sides)
        written = [side.group for side in form.sides]
        for made, group, other in ((keys, *written), (values, *reversed(written))):
            if made is None and group not in (None, other):
                raise InputError(f"setting `{form.text}`: a side at full precision has no groups")
        return cls.of(
            keys,
            values,
            start if form.start is None else form.start,
            form.path or path,  # type: ignore[arg-type]  # _set checks
            group_given=group_size is not None or any(group is not None for group in written),
        )

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        group_size: int | None = None,
        start: int = 0,
        path: ComputePath = "deployed",
    ) -> KVSetting:
        """Read the notation ``8``, ``4:32``, ``k8v4:64@512~dequantized``.

        Args:
            text: One setting of this kind.
            group_size: Group size where the notation names none; None for the default.
            start: Start where the notation names none.
            path: Path where the notation names none.

        Raises:
            InputError: The text is not a setting of the KV cache, or names what is not legal.
        """
        form = parse_form(text)
        if form.kind != cls.kind:
            raise InputError(f"`{form.text}` is not a setting of the KV cache alone", NOTATION_HINT)
        return cls.from_form(form, group_size=group_size, start=start, path=path)

    @property
    def k_bits(self) -> int:
        """Bits per key element, 16 for full precision."""
        return FULL_PRECISION if self.keys is None else self.keys.bits

    @property
    def v_bits(self) -> int:
        """Bits per value element, 16 for full precision."""
        return FULL_PRECISION if self.values is None else self.values.bits

    @property
    def group_size(self) -> int:
        """Elements that are quantized together, on both sides alike."""
        return self._quantizers[0].group_size

    @property
    def _quantizers(self) -> tuple[Quantizer, ...]:
        """Those of the sides that are quantized: one or two."""
        return tuple(side for side in (self.keys, self.values) if side is not None)

    @property
    def is_stock(self) -> bool:
        """Whether every quantized side is in MLX's own quantizer."""
        return all(type(quantizer) is STOCK for quantizer in self._quantizers)

    @property
    def key(self) -> str:
        """Canonical notation: ``8``, ``4:32``, ``k8v4``, ``4@512``; defaults are left out."""
        start = f"@{self.start}" if self.start else ""
        path = "" if self.path == "deployed" else f"~{self.path}"
        return self._store + start + path

    @property
    def _store(self) -> str:
        if self.keys == self.values:
            return self._quantizers[0].notation
        if self.is_stock:
            group = "" if self.group_size == DEFAULT_GROUP else f":{self.group_size}"
            return f"k{self.k_bits}v{self.v_bits}{group}"
        sides = (self.keys, self.values)
        return "/".join(str(FULL_PRECISION) if s is None else s.notation for s in sides)

    @property
    def thresholds(self) -> Thresholds:
        """The bounds for a quantized KV cache."""
        return KV

    @property
    def kv_method(self) -> KVMethod:
        """``stock``, or the quantizer by its name; sides of two quantizers by both names."""
        bits = self.k_bits if self.k_bits == self.v_bits else None
        if self.is_stock and bits is not None:
            params = {"bits": bits, "group_size": self.group_size}
            return KVMethod(STOCK_METHOD, bits, self.group_size, params)
        names = dict.fromkeys(quantizer.name for quantizer in self._quantizers)
        params = {"k_bits": self.k_bits, "v_bits": self.v_bits, "group_size": self.group_size}
        return KVMethod("/".join(names), bits, self.group_size, params)

    @property
    def every_cache(self) -> LayerSides:
        """How each cache of a model is stored: all alike."""
        keys, values = (
            UNQUANTIZED if quantizer is None else StoredSide(quantizer, self.start)
            for quantizer in (self.keys, self.values)
        )
        return LayerSides(keys, values)

    @property
    def written(self) -> str:
        """The key; with the group size where the default was asked for: ``8:64``."""
        store = self._store
        if not (self.group_given and self.is_stock and self.group_size == DEFAULT_GROUP):
            return self.key
        return f"{store}:{DEFAULT_GROUP}{self.key.removeprefix(store)}"

    def resolved(self, geometry: KVGeometry) -> KVSetting:
        """With the largest group size up to the default that divides the heads of every cache.

        A group size that was asked for stays, and so does one that no other could replace.
        """
        if self.group_given:
            return self
        found = self.fitting(geometry)
        return self if found is None or found.group_size >= self.group_size else found

    def fitting(self, geometry: KVGeometry) -> KVSetting | None:
        """With the largest group size up to its own that divides the heads, or else the least."""
        legal = self._legal(geometry)
        sizes = [size for size in legal if size <= self.group_size] or legal[:1]
        return self._with_group(max(sizes)) if sizes else None

    def _with_group(self, size: int) -> KVSetting:
        keys, values = (
            None if side is None else side.with_group(size) for side in (self.keys, self.values)
        )
        return KVSetting.of(keys, values, self.start, self.path)

    def _legal(self, geometry: KVGeometry) -> tuple[int, ...]:
        """Group sizes with which every quantized side can be stored, ascending."""
        sides = ((self.keys, geometry.k_dims()), (self.values, geometry.v_dims()))
        found = [set(side.legal_groups(dims)) for side, dims in sides if side is not None]
        return tuple(sorted(set.intersection(*found)))

    def sides(self, geometry: KVGeometry) -> list[LayerSides]:
        """Every cache alike: keys in ``keys``, values in ``values``."""
        return [self.every_cache] * len(geometry.layers)

    def check(self, geometry: KVGeometry) -> None:
        """See that the quantizers can store the heads of every cache.

        Raises:
            InputError: Names the setting, the dimension and the groups that would do.
        """
        for layer in geometry.layers:
            for quantizer, dim in ((self.keys, layer.k_dim), (self.values, layer.v_dim)):
                if quantizer is not None and not quantizer.takes(dim):
                    raise self._does_not_divide(quantizer, dim, geometry)

    def _does_not_divide(self, quantizer: Quantizer, dim: int, geometry: KVGeometry) -> InputError:
        legal = self._legal(geometry)
        if legal:
            fitting = (self._with_group(size).key for size in legal)
            remedy = f"settings that fit: {', '.join(f'`{key}`' for key in fitting)}"
        else:
            remedy = "no group size of MLX divides it: this side cannot be quantized"
        return InputError(
            f"setting `{self.written}`: group size {quantizer.group_size} does not divide the "
            f"head dimension {dim}",
            remedy,
        )

    def control(self) -> KVSetting:
        """The same setting on the dequantized path."""
        return KVSetting.of(
            self.keys, self.values, self.start, "dequantized", group_given=self.group_given
        )


def _check_widths(k_bits: int, v_bits: int) -> None:
    """Refuse a width that MLX's quantizer lacks, and name its side."""
    for side, bits in (("key", k_bits), ("value", v_bits)):
        if bits not in (*BITS, FULL_PRECISION):
            raise InputError(
                f"`{bits}` bits for the {side} side is not a width MLX can quantize to",
                f"widths: {', '.join(map(str, BITS))}, or {FULL_PRECISION} for full precision on "
                "one side",
            )


def _quantizer(form: SettingForm, side: SideForm, group_size: int) -> Side:
    """The quantizer that one side names; None for full precision."""
    group_size = group_size if side.group is None else side.group
    if side.name:
        known = QUANTIZERS.get(side.name)
        if known is None:
            raise unknown(form, side.name)
        return known.read(side.number, group_size, dict(side.params))
    if int(side.number) == FULL_PRECISION:
        return None
    return STOCK.read(side.number, group_size, {})
