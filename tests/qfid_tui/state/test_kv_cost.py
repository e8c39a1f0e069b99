"""Costs shown before a run, and whether it fits."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from qfid_tui.state.kv_cost import Fit, fit_of, kv_cost, short_bytes
from scorer.fit.memory_need import need
from scorer.fit.pass_size import PassSize
from scorer.models.resolve import resolve_model
from scorer.models.sizes import model_sizes
from scorer.spec.events import Hello
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.job import Job
from scorer.spec.settings.kv import KVSetting

LLAMA = KVGeometry((KVLayer(3, 64, 64),) * 30, 30)
MACHINE = Hello("cpu", "Test CPU", 16 << 30, 8 << 30, "MKL", {})


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


def needed(machine: Hello, length: int = 512, batch: int | None = None) -> Fit:
    fit = fit_of(resolve_model("demo"), machine, chunk_length=length, batch=batch)
    assert fit is not None
    return fit


def test_whether_a_run_fits_is_the_scorers_own_estimate() -> None:
    sizes = model_sizes(resolve_model("demo"))
    job = Job("demo", (KVSetting(8, 8),), chunk_length=512)
    on_cpu = needed(MACHINE)
    assert on_cpu.needed == need(sizes, job, "cpu", PassSize(1)).total
    on_gpu = needed(dataclasses.replace(MACHINE, device="cuda"))
    assert on_gpu.needed == need(sizes, job, "cuda", PassSize(8)).total
    assert on_cpu.fits and on_gpu.fits
    # On the CPU some of what is free is left to the machine.
    assert on_cpu.free == MACHINE.memory_free - (16 << 30) // 20 and on_gpu.free == 8 << 30


def test_what_does_not_fit_is_told_by_the_least_it_could_take() -> None:
    tight = needed(dataclasses.replace(MACHINE, memory_free=1 << 30), length=8192, batch=64)
    assert not tight.fits
    assert tight.needed < needed(MACHINE, length=8192, batch=2).needed
    # A smaller batch is what the scorer would take.
    smaller = needed(dataclasses.replace(MACHINE, memory_free=3 << 30), length=2048, batch=512)
    assert smaller.fits


def test_a_model_that_is_gone_is_told_nothing_about(tmp_path: Path) -> None:
    gone = dataclasses.replace(resolve_model("demo"), path=tmp_path / "gone")
    assert fit_of(gone, MACHINE, chunk_length=512, batch=None) is None


def test_longer_chunks_and_larger_batches_need_more() -> None:
    sizes = [
        needed(MACHINE, length, batch).needed for length, batch in ((512, 1), (4096, 1), (4096, 8))
    ]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "0.977 KiB"), (1 << 30, "1 GiB"), (5e13, "45.5 TiB")],
)
def test_bytes_in_three_digits(value: float, shown: str) -> None:
    assert short_bytes(value) == shown
