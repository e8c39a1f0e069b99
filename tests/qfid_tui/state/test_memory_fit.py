"""Whether a run fits, as shown before it."""

from __future__ import annotations

import dataclasses

from qfid_tui.state.memory_fit import Fit, fit_of
from qfid_tui.state.weights_offer import WeightsInfo
from scorer.fit.memory_need import need
from scorer.fit.pass_size import PassSize
from scorer.models.resolve import resolve_model
from scorer.models.sizes import model_sizes
from scorer.spec.events import Hello
from scorer.spec.job import Job
from scorer.spec.settings.kv import KVSetting

MACHINE = Hello("cpu", "Test CPU", 16 << 30, 8 << 30, "MKL", {})


def needed(machine: Hello, length: int = 512, batch: int | None = None) -> Fit:
    fit = fit_of(model_sizes(resolve_model("demo")), machine, length, batch)
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


def test_an_unknown_kind_of_device_gives_no_estimate() -> None:
    sizes = model_sizes(resolve_model("demo"))
    assert fit_of(sizes, dataclasses.replace(MACHINE, device="tpu"), 512) is None


def test_longer_chunks_and_larger_batches_need_more() -> None:
    sizes = [
        needed(MACHINE, length, batch).needed for length, batch in ((512, 1), (4096, 1), (4096, 8))
    ]
    assert sizes == sorted(set(sizes))


def test_weights_beside_the_models_own_take_turns_where_they_do_not_fit_together() -> None:
    sizes = model_sizes(resolve_model("demo"))
    alone = needed(MACHINE)
    three = fit_of(sizes, MACHINE, 512, weights=(None,) * 3)
    assert three is not None and not three.in_turns
    # The CPU computes with dense weights.
    assert three.needed == alone.needed + 3 * sizes.dense_bytes
    free = MACHINE.memory_free - int(alone.free - alone.needed) + 2 * sizes.dense_bytes
    tight = fit_of(sizes, dataclasses.replace(MACHINE, memory_free=free), 512, weights=(None,) * 3)
    assert tight is not None and tight.in_turns and tight.fits
    assert alone.needed <= tight.needed <= alone.needed + sizes.dense_bytes
    info = WeightsInfo("w4", "4 bit", 4.5, 10**6)
    gpu = dataclasses.replace(MACHINE, device="metal")
    plain, beside = fit_of(sizes, gpu, 512), fit_of(sizes, gpu, 512, weights=(info,))
    assert plain is not None and beside is not None
    assert beside.needed == plain.needed + 10**6
