"""Quantization that was asked for and not done is an error, never a perfect score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from architecture_checks import job_of, prepared
from hypothesis import given
from hypothesis import strategies as st
from kv_cases import codes_cache, convert_caches, dequantized_cache
from mlx_lm.models.cache import ArraysCache, CacheList, KVCache, RotatingKVCache
from tiny_models import write_text, write_tiny_model

from scorer.common.errors import SettingFailed
from scorer.device.dispatch import dispatch_read
from scorer.engine.checks import check_drift
from scorer.engine.prepared import Prepared
from scorer.lanes.base import completed
from scorer.lanes.kv.engagement import PendingEngagement
from scorer.lanes.kv.lane import KVLane
from scorer.lanes.kv.sides import Side
from scorer.lm.caches import fresh_caches
from scorer.quantizers.choose import quantizer_for
from scorer.runs.engagement import Engagement
from scorer.score import score
from scorer.spec.events import Event, Finished, SettingFailedEvent
from scorer.spec.quantizers.affine import Affine
from scorer.spec.settings.kv import BITS, GROUP_SIZES, KVSetting
from scorer.stats.positions import Positions

FOUR = KVSetting(4, 4, 32)
HEADS, TOKENS = 2, 10


def measure_engagement(caches: list[Any], setting: KVSetting, tokens: int) -> Engagement:
    """What a pass over so many tokens quantized, looked at when it is computed."""
    pending = PendingEngagement(caches, str(setting), tokens)
    return pending.read(dispatch_read(pending.checks)())


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "model", "llama")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return write_text(tmp_path)


def fill(cache: Any, tokens: int = TOKENS, *, dim: int = 32, batch: int = 1, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    keys, values = rng.standard_normal((2, batch, HEADS, tokens, dim)).astype(np.float32)
    cache.update_and_fetch(mx.array(keys), mx.array(values))
    return cache


def quantizing(setting: KVSetting = FOUR, label: str = "0") -> Any:
    return dequantized_cache(KVCache(), setting, label)


# --- one cache --------------------------------------------------------------------------------


def test_a_cache_that_was_not_replaced_is_named() -> None:
    caches = [fill(quantizing()), fill(quantizing()), fill(KVCache()), fill(quantizing())]
    with pytest.raises(SettingFailed, match=r"setting `4:32`: layer 2 \(`KVCache`\) did not"):
        measure_engagement(caches, FOUR, TOKENS)


def test_a_cache_that_was_never_converted_is_named() -> None:
    setting = KVSetting(4, 4, 32, start=4)
    caches = [fill(dequantized_cache(KVCache(), setting)) for _ in range(2)]
    convert_caches(caches[:1], setting)
    with pytest.raises(SettingFailed, match=r"layer 1 \(`DequantizedKVCache`\) did not quantize"):
        measure_engagement(caches, setting, TOKENS)


def test_a_part_of_a_composite_cache_is_named() -> None:
    caches = [CacheList(fill(quantizing()), fill(KVCache()))]
    with pytest.raises(SettingFailed, match=r"layer 0\.1 \(`KVCache`\) did not quantize"):
        measure_engagement(caches, FOUR, TOKENS)


@pytest.mark.parametrize("make", [dequantized_cache, codes_cache])
def test_a_model_that_writes_past_the_quantizer_is_caught(make: Any) -> None:
    cache = make(KVCache(), FOUR)
    array = mx.ones((1, HEADS, TOKENS, 32))
    if make is codes_cache:
        cache.stored, cache.offset = [array, array], TOKENS
    else:
        cache.keys = cache.values = array
    with pytest.raises(SettingFailed, match=r"layer 0 \(`\w+KVCache`\) quantized no K"):
        measure_engagement([cache], FOUR, TOKENS)


@pytest.mark.parametrize("make", [dequantized_cache, codes_cache])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("side", ["keys", "values"])
def test_a_side_that_is_not_finite_is_named(make: Any, wrong: float, side: str) -> None:
    cache = make(KVCache(), FOUR)
    good = mx.ones((1, HEADS, TOKENS, 32))
    bad = mx.where(mx.arange(TOKENS)[:, None] == 3, mx.array(wrong), good)
    cache.update_and_fetch(*((bad, good) if side == "keys" else (good, bad)))
    with pytest.raises(SettingFailed, match=f"{side} of layer 0 hold NaN or infinity"):
        measure_engagement([cache], FOUR, TOKENS)


def test_no_keys_and_values_at_all() -> None:
    with pytest.raises(SettingFailed, match="no keys and values to quantize"):
        measure_engagement([ArraysCache(2), quantizing()], FOUR, TOKENS)


def test_layers_are_entries_of_the_list() -> None:
    caches = [
        ArraysCache(2),
        fill(quantizing(label="1")),
        CacheList(ArraysCache(1), fill(quantizing(label="2.1"))),
        CacheList(fill(quantizing(label="3.0")), fill(quantizing(label="3.1"))),
        quantizing(label="4"),
        CacheList(ArraysCache(1), ArraysCache(1)),
    ]
    found = measure_engagement(caches, FOUR, TOKENS)
    assert (found.quantized, found.total) == (3, 6)
    assert found.skipped == (
        ("0", "ArraysCache"),
        ("4", "never filled"),
        ("5", "CacheList of ArraysCache, ArraysCache"),
    )
    assert [side.layer for side in found.sides[::2]] == ["1", "2.1", "3.0", "3.1"]


def test_whether_anything_changed() -> None:
    cache = quantizing()
    # Halves of a range the quantizer's end points span: nothing to round.
    exact = mx.broadcast_to(mx.array([0.0, 1.0] * 16), (1, HEADS, TOKENS, 32))
    rough = mx.array(np.random.default_rng(0).standard_normal((1, HEADS, TOKENS, 32)))
    cache.update_and_fetch(exact, rough)
    keys, values = measure_engagement([cache], FOUR, TOKENS).sides
    assert (keys.changed, values.changed) == (False, True)


def test_a_full_precision_side_is_said_to_be_one() -> None:
    setting = KVSetting(16, 4, 32)
    keys, values = measure_engagement([fill(quantizing(setting))], setting, TOKENS).sides
    assert (keys.bits, keys.changed, keys.tokens) == (16, None, TOKENS)
    assert (values.bits, values.changed, values.tokens) == (4, True, TOKENS)


@given(
    st.sampled_from((*BITS, 16)),
    st.sampled_from(BITS),
    st.sampled_from(GROUP_SIZES),
    st.integers(1, 3),
    st.lists(st.integers(1, 40), min_size=1, max_size=4),
    st.booleans(),
)
def test_stored_bytes_follow_from_the_shapes(
    k_bits: int, v_bits: int, group: int, batch: int, blocks: list[int], deployment: bool
) -> None:
    """Codes, scales and biases of the tokens held, of one sequence, at any width."""
    setting = KVSetting(k_bits, v_bits, group, start=blocks[0] if deployment else 0)
    cache = codes_cache(KVCache(), setting)
    for number, block in enumerate(blocks):
        fill(cache, block, dim=128, batch=batch, seed=number)
        if number == 0:
            convert_caches([cache], setting)
    found = measure_engagement([cache], setting, sum(blocks))
    for side, bits in zip(found.sides, (k_bits, v_bits), strict=True):
        # The tests' arrays are float32, and so are their scales and biases.
        element = 4.0 if bits == 16 else bits / 8 + 2 * 4 / group
        assert side.tokens == sum(blocks)
        assert side.stored_bytes == sum(blocks) * HEADS * 128 * element
    assert found.bytes_per_token == sum(s.stored_bytes or 0 for s in found.sides) / sum(blocks)


@pytest.mark.parametrize("cache", [KVCache(), RotatingKVCache(max_size=6)])
def test_tokens_of_a_converted_prefix_count_once(cache: Any) -> None:
    setting = KVSetting(4, 4, 32, start=5)
    made = dequantized_cache(cache, setting)
    fill(made, 5)
    convert_caches([made], setting)
    fill(made, 3, seed=1)
    assert {side.tokens for side in measure_engagement([made], setting, 8).sides} == {8}


# --- a whole run ------------------------------------------------------------------------------


def run(model: Path, text: Path, settings: str) -> tuple[list[SettingFailedEvent], dict[str, Any]]:
    events: list[Event] = list(score(job_of(model, text, settings, max_chunks=1)))
    last = events[-1]
    assert isinstance(last, Finished), last
    rows = {row["setting"]: row for row in last.report["settings"]}
    return [event for event in events if isinstance(event, SettingFailedEvent)], rows


def test_zero_drift_is_no_perfect_score(
    model: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quantizer that gives back what it got, tokens counted and all, is found out."""
    plain = Side.round_trip

    def idle(self: Side, x: mx.array) -> mx.array:
        restored = plain(self, x)
        return x if self.bits == 8 else restored

    monkeypatch.setattr(Side, "round_trip", idle)
    failures, rows = run(model, text, "8:32,4:32")
    (failure,) = failures
    assert failure.setting == "8:32"
    assert "quantization did not engage" in failure.message and "63 positions" in failure.message
    assert rows["8:32"]["status"] == "failed" and rows["8:32"].get("verdict") is None
    assert rows["4:32"]["status"] == "scored" and rows["4:32"]["kl"]["mean"] > 0


def test_a_width_that_is_ignored_is_found_by_its_twin(
    model: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Side.round_trip

    def ignoring(self: Side, x: mx.array) -> mx.array:
        self.quantizer = quantizer_for(Affine(4, self.group_size))
        return plain(self, x)

    monkeypatch.setattr(Side, "round_trip", ignoring)
    failures, rows = run(model, text, "8:32,4:32,k16v4:32")
    assert {failure.setting for failure in failures} == {"8:32", "4:32"}
    assert all("same KL" in failure.message for failure in failures)
    assert rows["k16v4:32"]["status"] == "scored"


def test_a_layer_left_out_fails_its_setting_by_name(
    model: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = KVLane.make_caches

    def forgetful(self: KVLane) -> list[Any]:
        caches = plain(self)
        if self.setting.k_bits == 8:
            caches[2] = fresh_caches(self.split.model)[2]
        return caches

    monkeypatch.setattr(KVLane, "make_caches", forgetful)
    failures, rows = run(model, text, "8:32,4:32")
    (failure,) = failures
    assert failure.setting == "8:32" and "layer 2 (`KVCache`) did not quantize" in failure.message
    assert rows["4:32"]["status"] == "scored"


def test_one_path_twice_is_no_duplicate(model: Path, text: Path) -> None:
    failures, rows = run(model, text, "8:32,8:32~dequantized")
    assert not failures
    assert rows["8:32~dequantized"]["same_as"] == "8:32"
    assert rows["8:32~dequantized"]["kl"] == rows["8:32"]["kl"]


def positions(kl: list[float], flip: bool = False) -> Positions:
    count = len(kl)
    whole, real = np.zeros(count, np.int32), np.ones(count, np.float64)
    return Positions(
        chunk=whole,
        position=np.arange(count, dtype=np.int32),
        token=whole,
        kl=np.array(kl, np.float64),
        nll_ref=real,
        nll_quant=real,
        top_ref=whole,
        top_ref_logprob=-real,
        top_quant=whole + int(flip),
        top_quant_logprob=-real,
    )


def test_zero_drift_means_zero_everywhere() -> None:
    def failed(*batches: Positions) -> bool:
        return "8" in check_drift({"8": [(batch, {}) for batch in batches]})

    assert failed(positions([0.0, 0.0]))
    assert failed(positions([0.0]), positions([0.0]))
    assert not failed(positions([0.0]), positions([0.0, 1e-12]))
    assert not failed(positions([0.0, 0.0], flip=True))
    assert not failed(positions([float("inf"), 0.0]))
    assert not failed()


def test_equal_kl_of_different_settings() -> None:
    def failed(one: str, other: str, a: list[float], b: list[float]) -> set[str]:
        return set(check_drift({one: [(positions(a), {})], other: [(positions(b), {})]}))

    same, near = [0.25, 0.5], [0.25, float(np.nextafter(0.5, 1))]
    assert failed("8", "4", same, same) == {"8", "4"}
    assert failed("4", "4@1", same, same) == {"4", "4@1"}
    assert failed("4", "4:32", same, same) == {"4", "4:32"}
    assert failed("k8v4", "k4v8", same, same) == {"k8v4", "k4v8"}
    assert failed("8", "4", same, near) == set()
    assert failed("8", "8~dequantized", same, same) == set()


# --- every layer ------------------------------------------------------------------------------


@pytest.fixture
def ready(model: Path, text: Path, tmp_path: Path) -> Prepared:
    return prepared(job_of(model, text), tmp_path / "tokens")


def test_a_lane_reports_every_layer_and_side(ready: Prepared) -> None:
    ids = mx.array(ready.corpus.ids[:2, :-1])
    for row in ready.planned:
        lane = KVLane(ready.handle, row.setting, row.arithmetic)
        _, engagement = completed(lane.begin(ids))
        assert isinstance(engagement, Engagement)
        assert [(s.layer, s.side) for s in engagement.sides] == [
            (str(layer), side) for layer in range(4) for side in "kv"
        ]
        assert all(s.changed and s.tokens == ids.shape[1] for s in engagement.sides)
        assert engagement.to_json()["quantized"] == 4


def test_a_cache_that_is_fed_again_starts_anew(ready: Prepared) -> None:
    """Every forward of a lane has caches of its own: the same chunk gives the same states."""
    ids = mx.array(ready.corpus.ids[:1, :-1])
    lane = KVLane(ready.handle, KVSetting(2, 2, 32), "dequantized")
    first, second = np.array(lane.hidden(ids)), np.array(lane.hidden(ids))
    assert np.array_equal(first, second)
