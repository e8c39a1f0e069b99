"""Costs of settings shown before a run."""

from __future__ import annotations

import dataclasses

import pytest

from qfid_tui.state.kv_cost import kv_cost, short_bytes
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.settings.kv import KVSetting

LLAMA = KVGeometry((KVLayer(3, 64, 64),) * 30, 30)


def test_costs_are_those_of_the_definitions() -> None:
    cost = kv_cost(LLAMA, KVSetting(4, 4))
    # 30 layers × 3 heads × 64 elements × 2 sides × (4/8 + 4/64) bytes
    assert cost.per_token == 30 * 3 * 64 * 2 * (0.5 + 0.0625) == 6480
    assert cost.share == 6480 / 23040
    assert cost.at == (8192 * 6480, 32768 * 6480, 131072 * 6480)
    assert kv_cost(LLAMA, None).per_token == 23040


def test_a_guess_carries_a_sign() -> None:
    guess = dataclasses.replace(LLAMA, exact=False)
    for setting in (None, KVSetting(8, 8)):
        assert kv_cost(guess, setting).sign == "≈" and kv_cost(LLAMA, setting).sign == ""


def test_a_sliding_layer_holds_its_window_at_most() -> None:
    mixed = KVGeometry((KVLayer(1, 64, 64), KVLayer(1, 64, 64, window=1024, kind="sliding")), 2)
    cost = kv_cost(mixed, KVSetting(8, 8))
    one = 2 * 64 * (1 + 0.0625)
    assert cost.per_token == 2 * one
    assert cost.at == tuple((tokens + 1024) * one for tokens in (8192, 32768, 131072))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "0.977 KiB"), (1 << 30, "1 GiB"), (5e13, "45.5 TiB")],
)
def test_bytes_in_three_digits(value: float, shown: str) -> None:
    assert short_bytes(value) == shown
