"""The noise floor: the perturbation itself, and the standard deviation it leads to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from kv_cases import kv_lane, reference_lane
from numpy.typing import NDArray
from tiny_configs import tiny_config
from tiny_models import build_module
from tiny_runs import Small, finished, planned, stopped
from tiny_values import VOCAB

from scorer.lanes.base import Lane, completed
from scorer.lanes.kv.lane import DEQUANTIZED, KVLane
from scorer.lanes.noise import EmbeddingNoise, PerturbedLane
from scorer.lm.caches import fresh_caches
from scorer.lm.split_model import SplitModel
from scorer.runs.listing import find_run
from scorer.score import score
from scorer.spec.events import Failed, Warned
from scorer.spec.settings.registry import parse_settings

LENGTH = 24
ULP = 2.0**-23


@pytest.fixture(autouse=True)
def _on_the_cpu_device() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


@pytest.fixture(scope="module")
def split() -> SplitModel:
    small = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 96}
    return SplitModel(build_module(tiny_config("llama", head_dim=64, **small)))


def tokens(rows: int = 3) -> mx.array:
    return mx.array(np.random.default_rng(4).integers(0, VOCAB, (rows, LENGTH)).astype(np.int32))


def embedded(split: SplitModel, noise: EmbeddingNoise, ids: mx.array) -> NDArray[np.float32]:
    with noise.applied():
        return np.array(split.model.model.embed_tokens(ids))


def test_every_element_moves_by_no_more_than_an_ulp_and_most_do(split: SplitModel) -> None:
    plain = np.array(split.model.model.embed_tokens(tokens())).astype(np.float64)
    noisy = embedded(split, EmbeddingNoise(0, (5, 6, 7), LENGTH), tokens()).astype(np.float64)
    moved = (noisy - plain) / np.abs(plain)
    # Rounding the product adds half a spacing, up to 2**-24 of the value, to the factor's own ulp.
    assert np.abs(moved).max() <= 1.5 * ULP * (1 + 1e-9)
    assert (moved != 0).mean() > 0.5
    assert abs(np.sign(moved).mean()) < 0.05


def test_the_noise_of_a_chunk_is_the_same_in_any_batch(split: SplitModel) -> None:
    together = embedded(split, EmbeddingNoise(2, (5, 6, 7), LENGTH), tokens())
    alone = embedded(split, EmbeddingNoise(2, (6,), LENGTH), tokens()[1:2])
    assert np.array_equal(together[1:2], alone)


def test_the_noise_is_the_same_however_a_pass_is_cut(split: SplitModel) -> None:
    noise = EmbeddingNoise(1, (5, 6, 7), LENGTH)
    whole = embedded(split, noise, tokens())
    with noise.applied():
        table = split.model.model.embed_tokens
        parts = [np.array(table(tokens()[:, a:b])) for a, b in ((0, 7), (7, 8), (8, LENGTH))]
    assert np.array_equal(np.concatenate(parts, axis=1), whole)


def test_repeats_and_chunks_have_noise_of_their_own(split: SplitModel) -> None:
    same_token = mx.zeros((2, LENGTH), mx.int32)
    first = embedded(split, EmbeddingNoise(0, (5, 6), LENGTH), same_token)
    second = embedded(split, EmbeddingNoise(1, (5, 6), LENGTH), same_token)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first[0], first[1])
    assert np.array_equal(first, embedded(split, EmbeddingNoise(0, (5, 6), LENGTH), same_token))


def test_the_tables_are_as_before_when_a_pass_is_over(split: SplitModel) -> None:
    plain = np.array(split.model.model.embed_tokens(tokens()))
    noise = EmbeddingNoise(0, (5, 6, 7), LENGTH)
    with pytest.raises(ZeroDivisionError), noise.applied():
        raise ZeroDivisionError
    assert np.array_equal(plain, np.array(split.model.model.embed_tokens(tokens())))


def states(lane: Lane) -> NDArray[np.float32]:
    return np.array(completed(lane.begin(tokens()))[0])


class NoEngagement:
    checks = ()

    def __init__(self, *_: Any) -> None: ...

    def read(self, checks: Any) -> None: ...


def test_reference_and_settings_are_fed_the_same_noise(
    split: SplitModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a cache that loses nothing a perturbed setting is the perturbed reference."""
    noise = EmbeddingNoise(0, (5, 6, 7), LENGTH)
    lane = PerturbedLane(kv_lane(split, parse_settings("4")[0], DEQUANTIZED), noise)
    monkeypatch.setattr(KVLane, "make_caches", lambda _: fresh_caches(split.model))
    monkeypatch.setattr("scorer.lanes.kv.lane.PendingEngagement", NoEngagement)
    reference = states(PerturbedLane(reference_lane(split), noise))
    plain = states(reference_lane(split))
    assert noise.reached
    assert 0 < np.abs(reference - plain).max() < 1e-4
    assert np.array_equal(states(lane), reference)


def floors(report: dict[str, Any]) -> list[float]:
    return [row["noise_floor"] for row in report["settings"]]


def test_the_report_holds_the_floor_of_every_setting(small: Small) -> None:
    plain = finished(small.score("8,4")).report
    report = finished(small.score("8,4", noise_floor=5)).report
    assert floors(plain) == [None, None]
    for row, without in zip(report["settings"], plain["settings"], strict=True):
        assert row["noise_floor"] > 0
        if report["reference"]["compute_dtype"] == "float32":
            assert row["noise_floor"] < row["kl"]["mean"]
        assert row["kl"] == without["kl"]
        found = row["noise_floors"]
        assert found["repeats"] == 5
        assert found["kl_mean"]["deviation"] == row["noise_floor"]
        # √(4 / χ²(0.025, 4)) = √(4 / 0.484)
        assert found["kl_mean"]["upper"] == pytest.approx(2.874 * row["noise_floor"], rel=1e-3)
        assert found["kl_p99"]["deviation"] > 0
        assert found["flip_rate"]["deviation"] >= 0
    assert "--noise-floor 5" in report["run"]["command"]


def test_a_resumed_run_has_the_same_floor(small: Small) -> None:
    whole = finished(small.score("8,4", noise_floor=4, batch=1)).report
    job = small.job("8,4", noise_floor=4, batch=1)
    run = planned(stopped(job, 2)).run
    assert len(find_run(run).read()["8"]) == 1
    again = finished(list(score(job, run=run))).report
    assert floors(again) == floors(whole)
    assert all(map(math.isfinite, floors(again)))


@pytest.mark.parametrize("repeats", [2, 3])
def test_fewer_than_four_repeats_are_for_runs_that_have_them(
    small: Small, monkeypatch: pytest.MonkeyPatch, repeats: int
) -> None:
    job = small.job("8", noise_floor=repeats, batch=1)
    (failed,) = (event for event in score(job) if isinstance(event, Failed))
    assert failed.exit_code == 2
    assert f"`{repeats}` repeats" in failed.message
    with monkeypatch.context() as patch:
        patch.setattr("scorer.spec.job.Job.check_new", lambda job: None)
        run = planned(stopped(job, 1)).run
    again = finished(list(score(job, run=run))).report
    assert again["settings"][0]["noise_floors"]["repeats"] == repeats


def test_a_model_that_embeds_in_its_own_way_is_named(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scorer.lm.patches.EMBEDDINGS", ())
    events = small.score("8", noise_floor=4)
    (warning,) = (event for event in events if isinstance(event, Warned))
    assert "noise floor" in warning.message
    assert floors(finished(events).report) == [None]
