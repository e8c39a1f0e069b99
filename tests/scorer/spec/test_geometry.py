"""What the shape of a KV cache costs, and its JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.spec.geometry import KINDS, KVGeometry, KVLayer
from scorer.spec.settings.kv import BITS, GROUP_SIZES, KVSetting


@pytest.mark.parametrize(
    ("setting", "expected"),
    [("8", 12_240), ("6", 9_360), ("4:32", 7_200), ("4", 6_480), ("2", 3_600), ("k8v4", 9_360)],
)
def test_published_costs_of_smollm2(setting: str, expected: float) -> None:
    cost = KVGeometry((KVLayer(3, 64, 64),) * 30, 30)
    assert KVSetting.parse(setting).bytes_per_token(cost) == expected
    assert cost.bytes_per_token_16bit() == 23_040


def test_one_side_at_full_precision_costs_two_bytes_an_element() -> None:
    one = KVGeometry((KVLayer(2, 64, 128),), 1)
    assert KVSetting(16, 4, 64).bytes_per_token(one) == 2 * (64 * 2 + 128 * (0.5 + 4 / 64))


def test_sliding_layers_count_the_tokens_they_keep() -> None:
    full, sliding = KVLayer(1, 64, 64), KVLayer(1, 64, 64, 512, "sliding")
    mixed = KVGeometry((full, sliding), 2)
    assert mixed.bytes_per_token_16bit() == 512
    assert mixed.bytes_per_token_16bit(512) == 512
    assert mixed.bytes_per_token_16bit(1024) == 256 + 256 * 512 / 1024


@pytest.mark.parametrize(
    ("setting", "elements"), [("8", 192), ("k8v4@9", 192), ("k16v4", 128), ("k4v16", 64)]
)
def test_dequantized_sides_cost_two_bytes_an_element(setting: str, elements: int) -> None:
    full, sliding = KVLayer(2, 64, 128), KVLayer(1, 64, 128, 512, "sliding")
    caches = KVGeometry((full, sliding), 2)
    sides = KVSetting.parse(setting).sides(caches)
    assert caches.dequantized_bytes_per_token(sides) == 2 * 3 * elements
    assert caches.dequantized_bytes_per_token(sides, 1024) == 2 * 2.5 * elements


@given(
    st.lists(
        st.builds(
            KVLayer,
            st.integers(1, 64),
            st.integers(1, 8).map(lambda n: n * 32),
            st.integers(0, 8).map(lambda n: n * 32),
            st.none() | st.integers(1, 4096),
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 100_000),
    st.sampled_from(BITS),
    st.sampled_from(GROUP_SIZES),
)
def test_costs_are_ordered(layers: list[KVLayer], context: int, bits: int, group: int) -> None:
    caches = KVGeometry(tuple(layers), len(layers))
    setting = KVSetting(bits, bits, group)
    assert 0 < setting.bytes_per_token(caches, context) < caches.bytes_per_token_16bit(context)
    assert setting.bytes_per_token(caches, context) <= setting.bytes_per_token(caches) + 1e-6
    stored = [
        layer.kv_heads * (layer.k_dim + layer.v_dim) * 2 * min(context, layer.window or context)
        for layer in layers
    ]
    assert caches.bytes_per_token_16bit(context) * context == pytest.approx(sum(stored))


@pytest.mark.parametrize(
    ("dims", "groups"),
    [
        ((64, 64), (32, 64)),
        ((80, 80), ()),
        ((96, 96), (32,)),
        ((128, 128), (32, 64, 128)),
        ((512, 64), (32, 64)),
        ((192, 128), (32, 64)),
        ((128, 0), (32, 64, 128)),
    ],
)
def test_legal_groups_divide_both_sides(dims: tuple[int, int], groups: tuple[int, ...]) -> None:
    assert KVGeometry((KVLayer(1, *dims),), 1).legal_groups() == groups


def test_json_runs_equal_layers_together() -> None:
    full, sliding = KVLayer(4, 64, 64), KVLayer(4, 64, 64, 128, "sliding")
    data = KVGeometry((full, full, sliding), 3).to_json()
    assert [(run["count"], run["kind"]) for run in data["caches"]] == [(2, "full"), (1, "sliding")]
    assert json.loads(json.dumps(data)) == data


@given(
    st.lists(
        st.builds(
            KVLayer,
            st.integers(1, 64),
            st.integers(1, 512),
            st.integers(0, 512),
            st.none() | st.integers(1, 4096),
            st.sampled_from(KINDS),
        ),
        max_size=8,
    ),
    st.integers(0, 9),
    st.booleans(),
)
def test_json_there_and_back(layers: list[KVLayer], total: int, exact: bool) -> None:
    caches = KVGeometry(tuple(layers), total, exact)
    assert KVGeometry.from_json(json.loads(json.dumps(caches.to_json()))) == caches


LAYER = {"count": 2, "kind": "full", "kv_heads": 1, "k_dim": 64, "v_dim": 64, "window": None}


@pytest.mark.parametrize(
    "changes",
    [
        {"count": 0},
        {"count": 1 << 40},
        {"count": "2"},
        {"kind": "other"},
        {"kind": None},
        {"kv_heads": 0},
        {"kv_heads": True},
        {"k_dim": 6.5},
        {"v_dim": -1},
        {"window": 0},
        {"window": [3]},
    ],
)
def test_json_of_no_geometry_is_refused(changes: dict[str, Any]) -> None:
    good = {"total_layers": 2, "exact": True, "caches": [LAYER]}
    assert len(KVGeometry.from_json(good).layers) == 2
    with pytest.raises(ValueError, match=r"\w"):
        KVGeometry.from_json(good | {"caches": [LAYER | changes]})
    for damaged in ({}, good | {"caches": 3}, good | {"caches": [3]}, good | {"total_layers": -1}):
        with pytest.raises(ValueError, match=r"\w"):
            KVGeometry.from_json(damaged)
