"""Whether a run fits: the estimate's parts, what is made smaller first, what a refusal says."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.common.device_kind import DeviceKind
from scorer.common.errors import WillNotFit
from scorer.device.host_memory import HostMemory
from scorer.fit.fitting import fitting, longest_chunk
from scorer.fit.memory_need import SCORES_BYTES, need
from scorer.fit.pass_size import TILE_BYTES, PassSize, default_batch
from scorer.models.sizes import ModelSizes
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.job import Job
from scorer.spec.settings.registry import parse_settings

GIB = 1 << 30
# A 7B model as mlx-lm quantizes it to 4 bits.
SEVEN = ModelSizes(
    stored_bytes=3_800_000_000,
    dense_bytes=27_000_000_000,
    largest_bytes=524_288_000,
    element_bytes=2,
    hidden=4096,
    inner=11008,
    heads=32,
    vocab=32000,
    geometry=KVGeometry((KVLayer(32, 128, 128),) * 32, 32),
)
DEVICES: tuple[DeviceKind, ...] = ("cpu", "cuda", "metal")


def job(settings: str = "8,4", **changes: Any) -> Job:
    return Job(**{"model": "org/seven", "settings": parse_settings(settings), **changes})


def fit(memory: float, device: DeviceKind = "cuda", wanted: int = 4, **changes: Any) -> PassSize:
    there = HostMemory(80 * GIB, int(memory * GIB))
    return fitting(SEVEN, job(**changes), device, there, name="seven", wanted=PassSize(wanted))


def test_weights_are_dense_on_the_cpu_and_stored_on_a_gpu() -> None:
    assert need(SEVEN, job(), "cpu", PassSize(1)).weights == SEVEN.dense_bytes
    for device in ("cuda", "metal"):
        assert need(SEVEN, job(), device, PassSize(1)).weights == SEVEN.stored_bytes


def test_caches_and_scores_are_counted_in_the_dtype_they_are_held_in() -> None:
    tokens = 4096
    parts = need(SEVEN, job(chunk_length=tokens + 1), "cpu", PassSize(1))
    # Keys and values of 32 layers × 32 heads × 128, float32: what came in, rounded, and held.
    assert parts.caches == 3 * tokens * 32 * 32 * 256 * 4
    # Scores of 32 heads would take 2 GiB; blocks of queries keep them small.
    scores = 2 * SCORES_BYTES
    assert scores < parts.attention < 4 * 32 * tokens**2
    gpu = need(SEVEN, job("4~dequantized", chunk_length=tokens + 1), "cuda", PassSize(1))
    # Of half the bytes each, and those of the next pass.
    assert gpu.caches == parts.caches
    # A fused attention writes no scores; quantized matmuls do.
    codes = need(SEVEN, job("4", chunk_length=tokens + 1), "cuda", PassSize(1))
    assert codes.attention - gpu.attention == 3 * SCORES_BYTES
    short = [need(SEVEN, job(s), "cuda", PassSize(1)) for s in ("4", "4~dequantized")]
    assert short[0].attention - short[1].attention == 3 * 2 * 32 * 511**2


def test_a_deployment_keeps_the_caches_of_its_prefix() -> None:
    stress = need(SEVEN, job("8,4", chunk_length=2049), "cuda", PassSize(2))
    deployed = need(SEVEN, job("8@512,4@512", chunk_length=2049), "cuda", PassSize(2))
    assert deployed.kept - stress.kept == 2 * 2048 * 32 * 32 * 256 * 2
    several = need(SEVEN, job("8@1500,4@1600", chunk_length=2049), "cuda", PassSize(2))
    assert several.kept - stress.kept == 2 * 3100 * 32 * 32 * 256 * 2


@pytest.mark.parametrize("device", DEVICES)
@given(
    length=st.integers(2, 1 << 17), batch=st.integers(1, 64), settings=st.sampled_from(["8", "8,4"])
)
def test_the_need_grows_with_everything(
    device: DeviceKind, length: int, batch: int, settings: str
) -> None:
    asked = job(settings, chunk_length=length)
    now = need(SEVEN, asked, device, PassSize(batch)).total
    longer = dataclasses.replace(asked, chunk_length=length + 256)
    # Reference logits that take too much are not kept at all.
    kept = PassSize(batch).keep_bytes
    assert need(SEVEN, longer, device, PassSize(batch)).total >= now - kept
    assert need(SEVEN, asked, device, PassSize(batch), in_use=30 * GIB).total > now
    sizes = [need(SEVEN, asked, device, size) for size in PassSize(batch).sizes()]
    assert sizes[-1].total <= now
    assert sizes[-1].kept + sizes[-1].tile <= sizes[0].kept + sizes[0].tile


def test_a_smaller_batch_is_taken_first_then_a_smaller_tile() -> None:
    sizes = list(PassSize(6).sizes())
    assert [size.batch for size in sizes] == [6, 3, 1, 1, 1]
    assert [size.tile_bytes >> 20 for size in sizes] == [256, 256, 256, 64, 16]
    assert PassSize(6).described() == "with 6 chunks at a time"
    assert sizes[-1].described() == "with 1 chunk at a time and tiles of 16 MiB"


def test_fewer_workers_come_before_a_smaller_batch() -> None:
    sizes = list(PassSize(4, workers=3).sizes())
    assert [(size.workers, size.batch) for size in sizes[:4]] == [(3, 4), (2, 4), (1, 4), (1, 2)]
    assert PassSize(4, workers=3).smaller() == PassSize(4)
    assert sizes[0].described() == sizes[2].described() == "with 4 chunks at a time"


def test_every_worker_needs_what_one_does_but_the_weights() -> None:
    one, two, three = (need(SEVEN, job(), "cpu", PassSize(1, workers=n)) for n in (1, 2, 3))
    assert three.weights == one.weights and one.process < three.process < 2 * one.process
    for part in ("caches", "attention", "kept", "tile"):
        assert getattr(three, part) == 3 * getattr(one, part)
    for free, workers in ((three, 3), (two, 2), (one, 1)):
        there = HostMemory(80 * GIB, free.total + (2 << 30))
        wanted = PassSize(1, workers=3)
        found = fitting(SEVEN, job(), "cpu", there, name="seven", wanted=wanted)
        assert found == PassSize(1, workers=workers)


def test_what_fits_is_as_large_as_it_can_be() -> None:
    wordy = dataclasses.replace(SEVEN, vocab=256_000)
    least = need(wordy, job(), "cuda", PassSize(1, 16 << 20), in_use=0).total
    taken = [
        fitting(
            wordy,
            job(),
            "cuda",
            HostMemory(80 * GIB, least + step * GIB // 16),
            name="wordy",
            wanted=PassSize(4),
        )
        for step in range(160)
    ]
    sizes = list(PassSize(4).sizes())
    ranks = [sizes.index(size) for size in taken]
    assert ranks == sorted(ranks, reverse=True)
    assert taken[0].tile_bytes < TILE_BYTES and taken[-1] == PassSize(4) and len(set(taken)) > 2


def test_what_a_process_holds_already_is_not_asked_for_again() -> None:
    held = 5 * GIB
    plain = need(SEVEN, job(), "cpu", PassSize(1), in_use=0).total
    there = HostMemory(80 * GIB, plain + (2 << 30))
    assert fitting(SEVEN, job(), "cpu", there, name="x", wanted=PassSize(1)) == PassSize(1)
    with_more = fitting(SEVEN, job(), "cpu", there, name="x", wanted=PassSize(1), in_use=held)
    assert with_more == PassSize(1)


def test_the_cpu_keeps_what_the_watch_would_end_the_run_for() -> None:
    total = need(SEVEN, job(), "cpu", PassSize(1), in_use=0).total
    there = HostMemory(80 * GIB, total + 1)
    with pytest.raises(WillNotFit):
        fitting(SEVEN, job(), "cpu", there, name="x", wanted=PassSize(1, 16 << 20))
    assert fitting(SEVEN, job(), "cuda", there, name="x", wanted=PassSize(1)) == PassSize(1)


@pytest.mark.parametrize("device", ["cuda", "metal"])
def test_a_refusal_names_the_figures_and_the_longest_chunk(device: DeviceKind) -> None:
    with pytest.raises(WillNotFit) as refusal:
        fit(8.0, device, chunk_length=16384)
    error = refusal.value
    assert error.exit_code == 3
    assert error.message.startswith("`seven` needs ") and "16384 tokens" in error.message
    assert "8.00 GiB can be used: 3.54 GiB weights," in error.message
    assert "\n" not in error.message + error.hint
    longest = int(error.hint.split()[1])
    assert error.hint == f"--chunk-length {longest} would fit; --force scores it as it is"
    assert longest % 64 == 0 and fit(8.0, device, chunk_length=longest)
    with pytest.raises(WillNotFit):
        fit(8.0, device, chunk_length=longest + 65)


def test_a_model_that_is_too_large_by_itself_is_told_apart() -> None:
    with pytest.raises(WillNotFit) as refusal:
        fit(8.0, "cpu", wanted=1)
    assert "25.15 GiB weights as float32" in refusal.value.message
    assert refusal.value.hint.startswith("no chunk is short enough: take a smaller model, or")
    assert longest_chunk(SEVEN, job(), "cpu", 8 * GIB) is None


def test_a_saved_runs_chunks_are_not_made_shorter() -> None:
    there = HostMemory(80 * GIB, 8 * GIB)
    asked = job(chunk_length=16384)
    with pytest.raises(WillNotFit) as refusal:
        fitting(SEVEN, asked, "cuda", there, name="x", wanted=PassSize(4), shorten=False)
    assert refusal.value.hint == "free memory and resume again; --force tries all the same"


def test_forced_it_goes_through_as_little_as_possible_or_as_asked() -> None:
    assert fit(1.0, force=True) == PassSize(1, 16 << 20)
    assert fit(1.0, force=True, batch=8) == PassSize(8, 16 << 20)
    assert fit(70.0, force=True) == PassSize(4)


def test_batches_where_memory_is_plenty() -> None:
    assert [default_batch(device, 512) for device in DEVICES] == [1, 8, 4]
    assert [default_batch("metal", length) for length in (100, 1024, 4096)] == [20, 2, 1]
    assert PassSize(1).tile_bytes == TILE_BYTES
