"""Descriptions of quantizers: legal values, shapes, stored bytes, notation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytest

from scorer.common.errors import InputError
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.quantizers.base import Quantizer
from scorer.spec.quantizers.known import QUANTIZERS, STOCK, without_alias
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import parse_setting


@dataclass(frozen=True, slots=True)
class Rotated(Quantizer):
    """A quantizer of another kind: only even widths, a seed, one scale for each group."""

    name: ClassVar[str] = "turned"
    widths: ClassVar[tuple[int, ...]] = (2, 4)
    groups: ClassVar[tuple[int, ...]] = (32, 64)
    default_group: ClassVar[int] = 64

    bits: int
    group_size: int
    seed: int = 0

    @classmethod
    def read(cls, number: str, group_size: int, params: Mapping[str, str]) -> Rotated:
        return cls(int(number), group_size, int(params.get("seed", 0)))

    @property
    def notation(self) -> str:
        group = "" if self.group_size == 64 else f":{self.group_size}"
        return f"turned{self.bits}{group}" + (f":seed={self.seed}" if self.seed else "")

    @property
    def bytes_per_element(self) -> float:
        return self.bits / 8 + 2 / self.group_size

    def takes(self, dim: int) -> bool:
        return dim % self.group_size == 0


@pytest.fixture(autouse=True)
def another_quantizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(QUANTIZERS, Rotated.name, Rotated)


@pytest.mark.parametrize("bits", STOCK.widths)
@pytest.mark.parametrize("group", STOCK.groups)
def test_the_stock_quantizer_stores_codes_a_scale_and_a_bias(bits: int, group: int) -> None:
    quantizer = STOCK(bits, group)
    # Of one group: codes, and two numbers of 16 bit.
    assert group * quantizer.bytes_per_element == pytest.approx(group * bits / 8 + 4, rel=1e-12)
    assert quantizer.takes(group) and quantizer.takes(0) and not quantizer.takes(group + 16)
    assert STOCK.read(str(bits), group, {}) == quantizer
    assert quantizer.notation == (f"{bits}" if group == 64 else f"{bits}:{group}")


def test_what_the_stock_quantizer_cannot_do_is_refused() -> None:
    with pytest.raises(InputError, match="`7` bits is not a width"):
        STOCK(7)
    with pytest.raises(InputError, match="`48` is not a group size"):
        STOCK(4, 48)
    with pytest.raises(InputError, match="has no parameter `seed`"):
        STOCK.read("4", 64, {"seed": "1"})
    for number in ("", "4.5"):
        with pytest.raises(InputError, match=f"`{number}` is not a number of bits"):
            STOCK.read(number, 64, {})


def test_legal_groups_divide_every_dimension() -> None:
    assert STOCK.legal_groups({64, 128}) == (32, 64)
    assert STOCK.legal_groups({80}) == ()
    assert STOCK.legal_groups({0}) == STOCK.groups
    assert Rotated.legal_groups({128}) == (32, 64)


@pytest.mark.parametrize(
    ("text", "key", "file_name"),
    [
        ("turned4", "turned4", "turned4-"),
        ("turned4:64:seed=7", "turned4:seed=7", "turned4-seed-7-"),
        ("turned4/8", "turned4/8", "turned4-8-"),
        ("16/turned2:32@9~dequantized", "16/turned2:32@9~dequantized", "16-turned2-32-9-"),
        ("8:32/turned2:32", "8:32/turned2:32", "8-32-turned2-32-"),
    ],
)
def test_the_quantizer_is_in_everything_a_setting_is_known_by(
    text: str, key: str, file_name: str
) -> None:
    setting = KVSetting.parse(text)
    assert setting.key == str(setting) == key
    assert parse_setting(key) == setting
    stock = [None if side is None else STOCK(side.bits) for side in (setting.keys, setting.values)]
    assert KVSetting.of(*stock, setting.start, setting.path) != setting
    assert setting.file_name.startswith(file_name)
    assert setting.kv_method.name != "stock" and "turned" in setting.kv_method.name


def test_cost_and_legality_are_those_of_each_side() -> None:
    geometry = KVGeometry((KVLayer(2, 64, 128),), 1)
    setting = KVSetting.of(STOCK(8), Rotated(2, 64))
    assert setting.bytes_per_token(geometry) == 2 * (64 * (1 + 4 / 64) + 128 * (0.25 + 2 / 64))
    (sides,) = setting.sides(geometry)
    assert (sides.keys.quantizer, sides.values.quantizer) == (STOCK(8), Rotated(2, 64))
    with pytest.raises(InputError, match="does not divide the head dimension 96") as caught:
        KVSetting.of(None, Rotated(2, 64)).check(KVGeometry((KVLayer(2, 64, 96),), 1))
    assert caught.value.hint == "settings that fit: `16/turned2:32`"
    unwritten = parse_setting("16/turned2:seed=3")
    assert unwritten.resolved(KVGeometry((KVLayer(2, 64, 96),), 1)).key == "16/turned2:32:seed=3"


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("stock:4:64", "4:64"),
        ("stock:4", "4"),
        ("stock:4:32@9~dequantized", "4:32@9~dequantized"),
        ("affine:6:4", "k6v4"),
        ("affine:6:4:32", "k6v4:32"),
        ("turboquant:4", "turboquant4"),
        ("turboquant:4:7", "turboquant4:seed=7"),
        ("8", "8"),
        ("stock4:64", "stock4:64"),
        ("affine:6", "affine:6"),
        ("stock:4:64/8", "stock:4:64/8"),
    ],
)
def test_methods_of_the_peer_are_read_as_ours(text: str, ours: str) -> None:
    assert without_alias(text) == ours
