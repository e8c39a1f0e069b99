"""The loop: what a batch costs and says, and that neither batches nor tiles change a number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import loop_cases
import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from kv_cases import reference_lane
from loop_cases import (
    CHUNKS,
    LENGTH,
    Spoilt,
    SpoiltLane,
    batch,
    ids,
    lanes,
    loop_of,
    run,
    same,
    scored,
    target,
)
from mlx_lm.models import llama
from oracle_drift import score_rows
from tiny_configs import tiny_config
from tiny_models import build_module
from tiny_values import VOCAB

from scorer.common.errors import Interrupted
from scorer.engine import loop
from scorer.engine.outcomes import LaneFailed, PassDone, Scored, ScoreTask
from scorer.engine.tiles import tile_positions
from scorer.lanes.base import PendingPass, ReferenceLane
from scorer.lanes.kv.lane import CODES, DEQUANTIZED, KVLane
from scorer.lm.model_handle import ModelHandle
from scorer.lm.split_model import SplitModel
from scorer.metrics.reduce import MetricsName
from scorer.stats.positions import Positions


@pytest.fixture(autouse=True)
def _on_the_cpu_device() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


@pytest.fixture(scope="module")
def split() -> SplitModel:
    small = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 96}
    return SplitModel(build_module(tiny_config("llama", head_dim=64, **small)))


@pytest.fixture(params=["kept", "tiles", "kept ahead", "tiles ahead"])
def memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Reference logits kept for all lanes, or every tile through all tails at once.

    Each step waited for, as on the CPU, or three begun ahead, as on a GPU.
    """
    way, _, ahead = request.param.partition(" ")
    if way == "tiles":
        monkeypatch.setattr(loop, "KEEP_BYTES", 0)
    monkeypatch.setattr(loop, "TILE_BYTES", 4 * VOCAB * CHUNKS * 7)
    monkeypatch.setattr(loop_cases, "AHEAD", 3 if ahead else 0)
    return str(request.param)


@pytest.fixture
def row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Matrix products whose rows do not know each other.

    A BLAS may round a row by how many there are (MKL does at the edge of a block); what is left
    without that is the engine's own doing.
    """

    def product(layer: Any, x: mx.array) -> mx.array:
        products: mx.array = (x[..., None, :] * layer.weight).sum(axis=-1)
        return products

    monkeypatch.setattr(nn.Linear, "__call__", product)
    monkeypatch.setattr(nn.Embedding, "as_linear", product)


# A metric reads logits, whatever arithmetic they are of.
@pytest.mark.usefixtures("row_by_row")
@pytest.mark.parametrize(
    ("metrics", "arithmetic"),
    [
        *((name, DEQUANTIZED) for name in ("numpy", "plain", "mlx")),
        ("numpy", CODES),
        pytest.param("plain", CODES, marks=pytest.mark.slow),
        pytest.param("mlx", CODES, marks=pytest.mark.slow),
    ],
)
def test_a_batch_gives_what_its_chunks_give_alone(
    split: SplitModel, metrics: MetricsName, arithmetic: str, memory: str
) -> None:
    settings = "8,k4v2:32,4@5"
    together = scored(run(split, lanes(split, settings, arithmetic), batch(), metrics))
    assert together.keys() == {"8", "k4v2:32", "4@5"}
    for row in range(CHUNKS):
        cell = batch(slice(row, row + 1))
        alone = scored(run(split, lanes(split, settings, arithmetic), cell, metrics))
        for name, chunks in alone.items():
            same(together[name][row], chunks[0])


@pytest.mark.usefixtures("row_by_row")
@pytest.mark.parametrize("metrics", ["numpy", "plain", "mlx"])
@pytest.mark.parametrize("rows", [1, 2, 5, 23])
def test_tiles_change_nothing(
    split: SplitModel, rows: int, metrics: MetricsName, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = "6,3:32@9"
    whole = scored(run(split, lanes(split, settings), batch(), metrics))
    monkeypatch.setattr(loop, "TILE_BYTES", 4 * VOCAB * CHUNKS * rows)
    for keep in (loop.KEEP_BYTES, 0):
        monkeypatch.setattr(loop, "KEEP_BYTES", keep)
        cut = scored(run(split, lanes(split, settings), batch(), metrics))
        for name, chunks in whole.items():
            for got, expected in zip(cut[name], chunks, strict=True):
                same(got, expected)


@pytest.mark.parametrize("rows", [1, 5, 23])
def test_tiles_and_blas_change_no_more_than_the_last_digits(
    split: SplitModel, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = scored(run(split, lanes(split, "8,3:32"), batch()))
    monkeypatch.setattr(loop, "TILE_BYTES", 4 * VOCAB * CHUNKS * rows)
    cut = scored(run(split, lanes(split, "8,3:32"), batch()))
    for name, chunks in whole.items():
        for got, expected in zip(cut[name], chunks, strict=True):
            np.testing.assert_allclose(got.kl, expected.kl, rtol=1e-3, atol=1e-6)
            np.testing.assert_allclose(got.nll_quant, expected.nll_quant, rtol=0, atol=1e-4)


@pytest.mark.usefixtures("row_by_row")
def test_settings_do_not_change_each_other(split: SplitModel, memory: str) -> None:
    together = scored(run(split, lanes(split, "8,2,4@7"), batch()))
    for name in ("8", "2", "4@7"):
        (alone,) = scored(run(split, lanes(split, name), batch())).values()
        for got, expected in zip(together[name], alone, strict=True):
            same(got, expected)


@pytest.mark.parametrize("first", [0, 11])
def test_positions_are_those_of_the_model(split: SplitModel, first: int, memory: str) -> None:
    """The numbers of one setting, made again from whole logits and the oracle."""
    (lane,) = lanes(split, "3:32")
    (found,) = scored(run(split, [lane], batch(first=first), "plain")).values()
    tokens = mx.array(ids()[:, :-1])
    reference = reference_lane(split)
    r = np.array(reference.logits(reference.hidden(tokens), 0, LENGTH - 1))
    q = np.array(lane.logits(lane.hidden(tokens), 0, LENGTH - 1))
    for row, positions in enumerate(found):
        expected = score_rows(r[row, first:], q[row, first:], ids()[row, first + 1 :])
        assert set(positions.chunk) == {10 + row}
        np.testing.assert_array_equal(positions.position, np.arange(first, LENGTH - 1))
        np.testing.assert_array_equal(positions.token, ids()[row, first + 1 :])
        for name, values in expected.items():
            np.testing.assert_allclose(getattr(positions, name), values, rtol=1e-4, atol=1e-5)
        assert positions.kl.mean() > 1e-3


def test_scored_positions_begin_at_the_start_or_where_the_protocol_says(
    split: SplitModel, memory: str
) -> None:
    for first, begins in (
        (0, {"8": 0, "8@1": 1, "4@15": 15}),
        (11, {"8": 11, "8@1": 11, "4@15": 15}),
    ):
        found = scored(run(split, lanes(split, "8,8@1,4@15"), batch(first=first)))
        for name, begin in begins.items():
            for positions in found[name]:
                np.testing.assert_array_equal(positions.position, np.arange(begin, LENGTH - 1))


@pytest.mark.parametrize("settings", ["8", "8,4,2", "8,4@5,k8v4:32,2"])
def test_n_settings_cost_n_plus_one_forwards(
    split: SplitModel, settings: str, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed: list[tuple[int, ...]] = []
    body = llama.LlamaModel.__call__

    def count(self: Any, inputs: mx.array, *rest: Any, **options: Any) -> Any:
        fed.append(tuple(inputs.shape))
        return body(self, inputs, *rest, **options)

    monkeypatch.setattr(llama.LlamaModel, "__call__", count)
    wanted = lanes(split, settings)
    run(split, wanted, batch())
    # A deployment's forward comes in two pieces; every token goes through once a lane.
    starts = sum(lane.first_position > 0 for lane in wanted)
    assert len(fed) == len(wanted) + 1 + starts
    assert all(shape[0] == CHUNKS for shape in fed)
    assert sum(shape[1] for shape in fed) == (len(wanted) + 1) * (LENGTH - 1)


def test_an_outcome_follows_every_forward(split: SplitModel, memory: str) -> None:
    wanted = lanes(split, "8,4,2")
    outcomes = run(split, wanted, batch())
    passes = [o for o in outcomes if isinstance(o, PassDone)]
    assert [p.lane for p in passes] == [None, *wanted]
    assert [(p.done, p.total) for p in passes] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    results = [o for o in outcomes if isinstance(o, Scored)]
    assert [o.lane for o in results] == wanted
    assert all(o.seconds >= 0 and len(o.chunks) == CHUNKS for o in results)


SPOILT = (
    Spoilt(1, 16, None, np.nan),
    Spoilt(1, 16, 3, np.nan),
    Spoilt(1, 16, target(1, 16), -np.inf),
    Spoilt(1, 16, 3, np.inf),
)


# How far a setting is off by the positions it leaves out does not depend on what is wrong there.
@pytest.mark.parametrize(
    ("setting", "wrong"),
    [
        *(("4", wrong) for wrong in SPOILT),
        ("4@6", SPOILT[1]),
        *(
            pytest.param("4@6", wrong, marks=pytest.mark.slow)
            for wrong in SPOILT
            if wrong is not SPOILT[1]
        ),
    ],
)
def test_a_setting_that_gives_no_number_fails_alone(
    split: SplitModel, wrong: Spoilt, setting: str, memory: str
) -> None:
    good = scored(run(split, lanes(split, "8,2"), batch()))
    eight, broken, two = lanes(split, f"8,{setting},2")
    outcomes = run(split, [eight, SpoiltLane(broken, wrong), two], batch())
    (failure,) = (o for o in outcomes if isinstance(o, LaneFailed))
    assert failure.lane.key == setting
    assert f"setting `{setting}`" in failure.error.message
    assert "chunk 11, position 16" in failure.error.message
    rest = [o for o in outcomes if not isinstance(o, LaneFailed)]
    for name, chunks in scored(rest).items():
        for got, expected in zip(chunks, good[name], strict=True):
            same(got, expected)
    assert scored(rest).keys() == {"8", "2"}


def test_a_setting_that_fails_in_its_forward_fails_alone(split: SplitModel, memory: str) -> None:
    class Overflow(KVLane):
        def make_caches(self) -> list[Any]:
            caches = super().make_caches()
            keep = caches[1].update_and_fetch
            caches[1].update_and_fetch = lambda k, v: keep(k * mx.inf, v)
            return caches

    eight, four = lanes(split, "8,4")
    outcomes = run(split, [Overflow(eight.model, eight.setting, DEQUANTIZED), four], batch())
    (failure,) = (o for o in outcomes if isinstance(o, LaneFailed))
    assert "setting `8`: keys of layer 1 hold NaN or infinity" in failure.error.message
    assert [o.lane.key for o in outcomes if isinstance(o, Scored)] == ["4"]


def test_a_prefix_that_is_not_scored_may_hold_anything(split: SplitModel, memory: str) -> None:
    (lane,) = lanes(split, "4@9")
    (eight,) = lanes(split, "8")
    expected = scored(run(split, [eight, lane], batch()))["4@9"]
    spoilt = SpoiltLane(lane, Spoilt(2, 8, None, np.nan))
    got = scored(run(split, [eight, spoilt], batch()))["4@9"]
    for a, b in zip(got, expected, strict=True):
        same(a, b)


def test_infinite_kl_is_a_number(split: SplitModel, memory: str) -> None:
    """A token that is not the target and that the setting rules out entirely."""
    (lane,) = lanes(split, "8")
    token = (target(0, 4) + 1) % VOCAB
    spoilt = SpoiltLane(lane, Spoilt(0, 4, token, -np.inf))
    (found,) = scored(run(split, [spoilt], batch())).values()
    assert np.flatnonzero(np.isinf(found[0].kl)).tolist() == [4]
    assert all(np.isfinite(positions.kl).all() for positions in found[1:])


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_reference_that_gives_no_number_fails_the_lanes_that_need_it(
    split: SplitModel, value: float, memory: str
) -> None:
    class Broken(ReferenceLane):
        def logits(self, hidden: mx.array, start: int, stop: int) -> mx.array:
            spoilt = Spoilt(2, 13, target(2, 13), value)
            return spoilt(ReferenceLane.logits(self, hidden, start, stop), start, stop)

    outcomes = run(split, lanes(split, "8,4,2@15"), batch(), reference=Broken(ModelHandle(split)))
    failures = [o for o in outcomes if isinstance(o, LaneFailed)]
    assert [o.lane.key for o in failures] == ["8", "4"]
    for failure in failures:
        assert "full-precision" in failure.error.message
        assert "chunk 12, position 13" in failure.error.message
    # A single likelihood before its first position is not a number that it needs.
    assert [o.lane.key for o in outcomes if isinstance(o, Scored)] == ["2@15"]


@pytest.mark.parametrize("asked", [0, 1, 3])
def test_a_stop_is_heeded_between_passes_and_tiles(
    split: SplitModel, asked: int, memory: str
) -> None:
    times = iter([False] * asked)
    pending = loop_of(split, stop=lambda: next(times, True)).score(
        [ScoreTask(batch(), lanes(split, "8,4"))]
    )
    outcomes = []
    with pytest.raises(Interrupted):
        for outcome in pending:
            outcomes.append(outcome)
    assert not any(isinstance(o, Scored) for o in outcomes)


@pytest.mark.parametrize(
    ("size", "positions", "rows", "step"),
    [(8, 511, 523, 64), (1, 511, 523, 511), (1, 4095, 523, 512), (3, 511, 523, 128), (4, 9, 1, 1)],
)
def test_tiles_hold_whole_blocks_of_rows(size: int, positions: int, rows: int, step: int) -> None:
    assert tile_positions(size, positions, rows) == step


def test_batches_follow_each_other_as_each_alone(split: SplitModel, memory: str) -> None:
    """Steps of the next batch begin before the last ones of this are waited for."""
    eight, deployed = lanes(split, "8,4@5")
    cells = [batch(slice(row, row + 1)) for row in range(CHUNKS)]
    taken: list[int] = []

    def tasks() -> Iterator[ScoreTask]:
        for cell in cells:
            taken.append(cell.chunks[0])
            yield ScoreTask(cell, [eight, deployed])

    together: dict[tuple[str, int], Positions] = {}
    for outcome in loop_of(split).score(tasks()):
        assert not isinstance(outcome, LaneFailed)
        if isinstance(outcome, Scored):
            (found,) = outcome.chunks
            together[outcome.lane.key, int(found.chunk[0])] = found
            assert outcome.seconds >= 0
            if "ahead" not in memory:
                # Nothing of a batch is asked for before the one ahead of it is done.
                assert taken[-1] == found.chunk[0]
    assert len(together) == 2 * CHUNKS
    for cell in cells:
        alone = scored(run(split, [eight, deployed], cell))
        for name, (expected,) in alone.items():
            same(together[name, int(expected.chunk[0])], expected)


def test_a_setting_that_failed_is_not_gone_on_with(split: SplitModel, memory: str) -> None:
    eight, broken = lanes(split, "8,4")
    spoilt = SpoiltLane(broken, Spoilt(1, 16, None, np.nan))
    tasks = [ScoreTask(batch(), [spoilt, eight]), ScoreTask(batch(), [spoilt, eight])]
    outcomes = list(loop_of(split).score(tasks))
    assert [o.lane for o in outcomes if isinstance(o, LaneFailed)] == [spoilt]
    assert [o.lane for o in outcomes if isinstance(o, Scored)] == [eight, eight]


def test_steps_ahead_are_begun_before_the_oldest_is_waited_for(
    split: SplitModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    begin = KVLane.begin

    def recorded(self: KVLane, tokens: mx.array) -> PendingPass:
        said.append(f"begin {self.key}")
        return begin(self, tokens)

    monkeypatch.setattr(KVLane, "begin", recorded)
    monkeypatch.setattr(loop, "KEEP_BYTES", 0)
    for ahead, order in (
        (0, ["begin 8", "done 8", "begin 4", "done 4"]),
        (1, ["begin 8", "begin 4", "done 8", "done 4"]),
        (3, ["begin 8", "begin 4", "done 8", "done 4"]),
    ):
        monkeypatch.setattr(loop_cases, "AHEAD", ahead)
        said.clear()
        for outcome in loop_of(split).score([ScoreTask(batch(), lanes(split, "8,4"))]):
            if isinstance(outcome, PassDone) and outcome.lane is not None:
                said.append(f"done {outcome.lane.key}")
        assert said == order
