"""Settings of the KV cache: values, keys, what they say of a model's caches."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from setting_values import kv_settings

from scorer.common.errors import InputError
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.quantizers.known import STOCK
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import parse_setting
from scorer.spec.sides import UNQUANTIZED, LayerSides, StoredSide
from scorer.spec.thresholds import KV

SMOLLM2 = KVGeometry((KVLayer(3, 64, 64),) * 30, 30)

layers = st.builds(
    KVLayer,
    st.integers(1, 64),
    st.integers(1, 8).map(lambda n: n * 128),
    st.integers(0, 8).map(lambda n: n * 128),
    st.none() | st.integers(1, 4096),
)
geometries = st.lists(layers, min_size=1, max_size=6).map(
    lambda found: KVGeometry(tuple(found), len(found))
)


@given(kv_settings)
def test_every_setting_is_read_back_from_its_key(setting: KVSetting) -> None:
    assert parse_setting(setting.key) == setting == KVSetting.parse(setting.key)
    assert str(setting) == setting.key


@given(kv_settings, kv_settings)
def test_equal_keys_are_equal_settings(one: KVSetting, other: KVSetting) -> None:
    assert (one == other) == (one.key == other.key)
    assert len({one, other}) == (1 if one == other else 2)


@given(kv_settings)
def test_settings_are_values(setting: KVSetting) -> None:
    for copied in (copy.deepcopy(setting), pickle.loads(pickle.dumps(setting))):
        assert copied == setting and hash(copied) == hash(setting)
    with pytest.raises(AttributeError):
        setting.start = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        (KVSetting(8, 8), "8"),
        (KVSetting(4, 4, 32), "4:32"),
        (KVSetting(8, 4), "k8v4"),
        (KVSetting(8, 4, 64), "k8v4"),
        (KVSetting(16, 4), "k16v4"),
        (KVSetting(16, 4, 128), "k16v4:128"),
        (KVSetting(4, 4, start=512), "4@512"),
        (KVSetting(4, 4, path="dequantized"), "4~dequantized"),
        (KVSetting(8, 4, 32, 512, "dequantized"), "k8v4:32@512~dequantized"),
    ],
)
def test_the_key_leaves_defaults_out(setting: KVSetting, key: str) -> None:
    assert setting.key == key


def test_widths_and_group_are_those_of_the_sides() -> None:
    setting = KVSetting(16, 4, 32)
    assert (setting.k_bits, setting.v_bits, setting.group_size) == (16, 4, 32)
    assert (setting.keys, setting.values) == (None, STOCK(4, 32))
    assert KVSetting.of(None, STOCK(4, 32)) == setting and setting.is_stock


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((7, 8), "`7` bits for the key side is not a width"),
        ((8, 7), "`7` bits for the value side is not a width"),
        ((16, 16), "`k16v16` quantizes nothing"),
        ((8, 8, 48), "`48` is not a group size"),
        ((8, 8, 64, -1), "start `-1` is negative"),
        ((8, 8, 64, 0, "fast"), "`fast` is not a path"),
    ],
)
def test_values_that_are_not_legal_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError) as caught:
        KVSetting(*arguments)
    assert message in caught.value.message


def test_sides_of_two_group_sizes_are_refused_as_parsed_and_as_made() -> None:
    for make in (
        lambda: KVSetting.of(STOCK(8, 32), STOCK(4, 64)),
        lambda: parse_setting("8:32/4:64"),
    ):
        with pytest.raises(InputError, match="does not know groups of different sizes") as caught:
            make()
        assert "`8:32`" in caught.value.message and "`4`" in caught.value.message


@given(kv_settings, geometries, st.none() | st.integers(1, 100_000))
def test_cost_follows_from_the_sides_of_each_cache(
    setting: KVSetting, geometry: KVGeometry, context: int | None
) -> None:
    sides = setting.sides(geometry)
    assert len(sides) == len(geometry.layers)
    total = 0.0
    for layer, stored in zip(geometry.layers, sides, strict=True):
        side_bytes = []
        for side, bits, dim in (
            (stored.keys, setting.k_bits, layer.k_dim),
            (stored.values, setting.v_bits, layer.v_dim),
        ):
            if bits == 16:
                assert side == UNQUANTIZED
            else:
                assert side == StoredSide(STOCK(bits, setting.group_size), setting.start)
            side_bytes.append(dim * (2 if bits == 16 else bits / 8 + 4 / setting.group_size))
        kept = 1.0 if context is None else min(context, layer.window or context) / context
        total += layer.kv_heads * sum(side_bytes) * kept
    assert setting.bytes_per_token(geometry, context) == pytest.approx(total, rel=1e-12)
    # The figures of the report were made by this very expression, in this order.
    if context is None:
        k, v = (
            2.0 if bits == 16 else bits / 8 + 4 / setting.group_size
            for bits in (setting.k_bits, setting.v_bits)
        )
        exact = 0.0
        for layer in geometry.layers:
            exact += layer.kv_heads * (layer.k_dim * k + layer.v_dim * v)
        assert setting.bytes_per_token(geometry) == exact


@pytest.mark.parametrize(
    ("setting", "expected"),
    [("8", 12_240), ("6", 9_360), ("4:32", 7_200), ("4", 6_480), ("2", 3_600), ("k16v4", 14_760)],
)
def test_stored_bytes_of_thirty_layers_with_three_heads_of_64(setting: str, expected: int) -> None:
    assert parse_setting(setting).bytes_per_token(SMOLLM2) == expected


def test_every_cache_names_the_first_tokens_it_keeps() -> None:
    quantized = StoredSide(STOCK(4), 512)
    assert KVSetting(16, 4, start=512).sides(SMOLLM2) == [LayerSides(UNQUANTIZED, quantized)] * 30


@pytest.mark.parametrize(
    ("setting", "dims", "refused", "hint"),
    [
        ("4", (64, 64), None, ""),
        ("4:128", (64, 64), 64, "settings that fit: `4:32`, `4`"),
        ("4", (64, 96), 96, "settings that fit: `4:32`"),
        ("k4v16", (64, 96), None, ""),
        ("k16v4:128", (64, 128), None, ""),
        ("8", (64, 0), None, ""),
        ("8", (80, 80), 80, "no group size of MLX divides it"),
    ],
)
def test_only_quantized_sides_need_a_group_that_divides(
    setting: str, dims: tuple[int, int], refused: int | None, hint: str
) -> None:
    geometry = KVGeometry((KVLayer(1, 128, 128), KVLayer(1, *dims)), 2)
    if refused is None:
        parse_setting(setting).check(geometry)
        return
    with pytest.raises(InputError) as caught:
        parse_setting(setting).check(geometry)
    assert f"setting `{setting}`: group size" in caught.value.message
    assert f"does not divide the head dimension {refused}" in caught.value.message
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize(
    ("written", "dims", "resolved"),
    [
        ("8", (96, 96), "8:32"),
        ("8", (64, 96), "8:32"),
        ("8", (128, 128), "8"),
        ("8", (32, 32), "8:32"),
        ("4@9~dequantized", (96, 96), "4:32@9~dequantized"),
        ("k8v4", (96, 64), "k8v4:32"),
        ("k16v4", (80, 64), "k16v4"),
        ("k16v4", (80, 96), "k16v4:32"),
        # Latent attention keeps no values.
        ("8", (576, 0), "8"),
        ("8", (80, 80), "8"),
        # What was asked for stays.
        ("8:64", (96, 96), "8"),
        ("4:128", (96, 96), "4:128"),
        ("k8v4:64", (96, 96), "k8v4"),
    ],
)
def test_a_width_without_a_group_takes_the_largest_that_divides(
    written: str, dims: tuple[int, int], resolved: str
) -> None:
    geometry = KVGeometry((KVLayer(1, 384, 384), KVLayer(1, *dims)), 2)
    setting = KVSetting.parse(written)
    found = setting.resolved(geometry)
    assert found.key == resolved and found.resolved(geometry) == found
    assert (found.start, found.path) == (setting.start, setting.path)
    assert found.control() == setting.control().resolved(geometry)
    if ":64" not in written:
        # What is stored by its key is the same setting when the key is read again.
        assert KVSetting.parse(found.key).resolved(geometry) == found


@pytest.mark.parametrize("text", ["8", "8:64", "8:32", "k8v4:64@5", "k16v4:64", "4:64~dequantized"])
def test_what_a_job_keeps_says_whether_the_group_was_asked_for(text: str) -> None:
    setting = KVSetting.parse(text)
    again = KVSetting.parse(setting.written)
    assert setting.written == text and again == setting
    assert again.group_given == setting.group_given == (":" in text)
    assert setting.key == text.replace(":64", "")
    assert KVSetting.parse("8", group_size=64).written == "8:64"
    assert KVSetting.parse("stock:8:64").written == KVSetting(8, 8, 64).written == "8:64"
    assert KVSetting(8, 8).written == "8" and KVSetting(8, 8) == KVSetting(8, 8, 64)


@given(kv_settings)
def test_the_control_differs_in_the_path_alone(setting: KVSetting) -> None:
    control = setting.control()
    assert control.path == "dequantized" and control.control() == control
    assert (control.keys, control.values, control.start) == (
        setting.keys,
        setting.values,
        setting.start,
    )
    assert (control == setting) == (setting.path == "dequantized")


@pytest.mark.parametrize(
    ("setting", "name", "bits", "params"),
    [
        ("4:32@9", "stock", 4, {"bits": 4, "group_size": 32}),
        ("k8v4", "affine", None, {"k_bits": 8, "v_bits": 4, "group_size": 64}),
        ("k16v4:32", "affine", None, {"k_bits": 16, "v_bits": 4, "group_size": 32}),
    ],
)
def test_the_method_is_named_as_the_peer_names_it(
    setting: str, name: str, bits: int | None, params: dict[str, int]
) -> None:
    method = parse_setting(setting).kv_method
    assert (method.name, method.bits, method.params) == (name, bits, params)
    assert method.group_size == params["group_size"] and method.is_stock == (name == "stock")


def test_what_a_report_asks_of_a_setting() -> None:
    setting = KVSetting(8, 8, start=100)
    assert setting.thresholds is KV
    assert setting.fingerprint() == {}
    assert setting.first_position(0) == 100 and setting.first_position(255) == 255
    assert (KVSetting(8, 8).mode, setting.mode) == ("stress", "deployment")
