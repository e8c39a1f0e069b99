"""What the loop asks of lanes: findings come with the results, models are acquired and released."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import loop_cases
import mlx.core as mx
import pytest
from kv_cases import reference_lane
from loop_cases import CHUNKS, LENGTH, batch, ids, lanes, loop_of
from tiny_configs import tiny_config
from tiny_models import build_module
from tiny_values import VOCAB

from scorer.common.errors import Interrupted
from scorer.engine import loop
from scorer.engine.loop import Loop
from scorer.engine.outcomes import PassDone, Scored, ScoreTask
from scorer.engine.tiles import Batch
from scorer.lanes.base import PendingPass, ReferenceLane
from scorer.lanes.kv.engagement import Engagement
from scorer.lm.split_model import SplitModel
from scorer.metrics.reduce import Metrics


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
    """Reference logits kept or not, each step waited for or three started ahead."""
    if request.param.startswith("tiles"):
        monkeypatch.setattr(loop, "KEEP_BYTES", 0)
    monkeypatch.setattr(loop, "TILE_BYTES", 4 * VOCAB * CHUNKS * 7)
    monkeypatch.setattr(loop_cases, "AHEAD", 3 if request.param.endswith("ahead") else 0)
    return str(request.param)


class Named:
    """What a lane found in one pass, for the tests: the first token of the batch."""

    def __init__(self, token: int) -> None:
        self.token = token

    def to_json(self) -> dict[str, Any]:
        return {"token": self.token}


class PlainLane:
    """A lane that has nothing but what the loop may ask of one."""

    def __init__(self, reference: ReferenceLane, key: str, first_position: int = 0) -> None:
        self.key, self.first_position = key, first_position
        self.users, self.most = 0, 0
        self._lane = reference

    def acquire(self) -> None:
        self.users += 1
        self.most = max(self.most, self.users)

    def release(self) -> None:
        self.users -= 1

    def begin(self, tokens: mx.array) -> PendingPass:
        assert self.users > 0
        states = self._lane.begin(tokens).states
        first = tokens[0, 0]
        return PendingPass(states, [first], lambda checks: Named(int(checks[0])))

    def logits(self, hidden: mx.array, start: int, stop: int) -> mx.array:
        assert self.users > 0
        return self._lane.logits(hidden * 1.5, start, stop)


def test_findings_belong_to_the_batch_they_came_from(split: SplitModel, memory: str) -> None:
    lane, other = (PlainLane(reference_lane(split), key, 5) for key in ("one", "other"))
    cells = [batch(slice(row, row + 1)) for row in (2, 0, 1)]
    outcomes = list(loop_of(split).score(ScoreTask(cell, [lane, other]) for cell in cells))
    found = [o for o in outcomes if isinstance(o, Scored)]
    assert len(found) == 6
    for outcome in found:
        assert isinstance(outcome.findings, Named)
        row = int(outcome.chunks[0].chunk[0]) - 10
        assert outcome.findings.to_json() == {"token": int(ids()[row, 0])}
        assert outcome.chunks[0].position[0] == 5


def test_engagement_comes_with_the_result(split: SplitModel, memory: str) -> None:
    (lane,) = lanes(split, "4@5")
    wide, narrow = batch(), batch(slice(0, 1))
    narrow = Batch(narrow.chunks, narrow.ids[:, :12], 0)
    outcomes = list(loop_of(split).score([ScoreTask(wide, [lane]), ScoreTask(narrow, [lane])]))
    found = [o.findings for o in outcomes if isinstance(o, Scored)]
    assert all(isinstance(engagement, Engagement) for engagement in found)
    tokens = [{side.tokens for side in e.sides} for e in found if isinstance(e, Engagement)]
    assert tokens == [{LENGTH - 1}, {11}]


def test_models_are_used_no_longer_than_needed(split: SplitModel, memory: str) -> None:
    reference = PlainLane(reference_lane(split), "reference")
    candidates = [PlainLane(reference_lane(split), key) for key in ("one", "other")]
    tasks = [ScoreTask(batch(slice(row, row + 1)), candidates) for row in range(CHUNKS)]
    scoring = Loop(reference, Metrics("numpy"), VOCAB, lambda: False, ahead=loop_cases.AHEAD)
    for _ in scoring.score(tasks):
        assert reference.users == 1
        if memory == "kept":
            assert sum(lane.users for lane in candidates) <= 1
    assert [lane.users for lane in (reference, *candidates)] == [0, 0, 0]
    assert reference.most == 1 and all(lane.most >= 1 for lane in candidates)


@pytest.mark.parametrize("how", ["stopped", "error", "closed"])
def test_models_are_released_however_the_loop_ends(
    split: SplitModel, memory: str, how: str
) -> None:
    class Broken(PlainLane):
        def logits(self, hidden: mx.array, start: int, stop: int) -> mx.array:
            raise MemoryError

    one = PlainLane(reference_lane(split), "one")
    two = (Broken if how == "error" else PlainLane)(reference_lane(split), "two")
    reference = PlainLane(reference_lane(split), "reference")
    scoring = Loop(
        reference,
        Metrics("numpy"),
        VOCAB,
        lambda: how == "stopped" and two.most > 0,
        ahead=loop_cases.AHEAD,
    )
    outcomes = scoring.score([ScoreTask(batch(), [one, two])])
    if how == "closed":
        next(outcome for outcome in outcomes if isinstance(outcome, PassDone) and outcome.lane)
        outcomes.close()  # type: ignore[attr-defined]
    else:
        with pytest.raises(Interrupted if how == "stopped" else MemoryError):
            list(outcomes)
    assert one.most == 1 and [lane.users for lane in (reference, one, two)] == [0, 0, 0]
