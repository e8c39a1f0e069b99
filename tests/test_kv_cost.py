"""Costs shown before a run, and whether it fits."""

from __future__ import annotations

import dataclasses

import pytest

from qfid_tui.kv_cost import fit_of, kv_cost, short_bytes
from scorer.events import Hello
from scorer.geometry import KVGeometry, KVLayer
from scorer.job import KVSetting
from scorer.models import resolve_model

LLAMA = KVGeometry((KVLayer(3, 64, 64),) * 30, 30)
MACHINE = Hello("cpu", "Test CPU", 16 << 30, 8 << 30, "MKL", {})


def test_costs_are_those_of_the_definitions() -> None:
    cost = kv_cost(LLAMA, KVSetting(4, 4))
    # 30 layers × 3 heads × 64 elements × 2 sides × (4/8 + 4/64) bytes
    assert cost.per_token == 30 * 3 * 64 * 2 * (0.5 + 0.0625) == 6480
    assert cost.share == 6480 / 23040
    assert cost.at == (8192 * 6480, 32768 * 6480, 131072 * 6480)
    assert kv_cost(LLAMA, None).per_token == 23040


def test_a_sliding_layer_holds_its_window_at_most() -> None:
    mixed = KVGeometry((KVLayer(1, 64, 64), KVLayer(1, 64, 64, window=1024, kind="sliding")), 2)
    cost = kv_cost(mixed, KVSetting(8, 8))
    one = 2 * 64 * (1 + 0.0625)
    assert cost.per_token == 2 * one
    assert cost.at == tuple((tokens + 1024) * one for tokens in (8192, 32768, 131072))


def test_on_the_cpu_weights_count_as_float32() -> None:
    demo = resolve_model("demo")
    quantized = dataclasses.replace(demo, weight_bits=4.0, size_bytes=450_000_000)
    on_cpu = fit_of(quantized, MACHINE, chunk_length=512, batch=None)
    assert 3.2e9 < on_cpu.needed - (1 << 30) < 3.3e9
    on_gpu = dataclasses.replace(MACHINE, device="cuda")
    gpu = fit_of(quantized, on_gpu, chunk_length=512, batch=None)
    assert 0.45e9 < gpu.needed - (1 << 30) < 0.47e9
    assert on_cpu.fits and gpu.fits
    small = dataclasses.replace(MACHINE, memory_free=1 << 30)
    assert not fit_of(quantized, small, chunk_length=512, batch=None).fits


def test_longer_chunks_and_larger_batches_need_more() -> None:
    demo = resolve_model("demo")
    sizes = [
        fit_of(demo, MACHINE, chunk_length=length, batch=batch).needed
        for length, batch in ((512, 1), (4096, 1), (4096, 8))
    ]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "0.977 KiB"), (1 << 30, "1 GiB"), (5e13, "45.5 TiB")],
)
def test_bytes_in_three_digits(value: float, shown: str) -> None:
    assert short_bytes(value) == shown
