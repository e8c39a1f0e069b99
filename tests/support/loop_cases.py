"""Tokens, lanes and what is wrong with some of them, for the tests of the loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import mlx.core as mx
import numpy as np
from kv_cases import kv_lane, reference_lane
from numpy.typing import NDArray
from tiny_values import VOCAB

from scorer.engine.loop import Loop
from scorer.engine.outcomes import LaneFailed, Outcome, Scored, ScoreTask
from scorer.engine.tiles import Batch
from scorer.lanes.base import ReferenceLane
from scorer.lanes.kv.lane import DEQUANTIZED, KVLane
from scorer.lm.split_model import SplitModel
from scorer.metrics.reduce import Metrics, MetricsName
from scorer.spec.settings.registry import parse_settings
from scorer.stats.positions import Positions

CHUNKS, LENGTH = 3, 24
AHEAD = 0


def ids() -> NDArray[np.int32]:
    return np.random.default_rng(4).integers(0, VOCAB, (CHUNKS, LENGTH)).astype(np.int32)


def batch(rows: slice = slice(None), first: int = 0) -> Batch:
    return Batch(tuple(range(10, 10 + CHUNKS))[rows], ids()[rows], first)


def lanes(split: SplitModel, settings: str, arithmetic: str = DEQUANTIZED) -> list[KVLane]:
    return [kv_lane(split, setting, arithmetic) for setting in parse_settings(settings)]


def loop_of(
    split: SplitModel,
    metrics: MetricsName = "numpy",
    reference: ReferenceLane | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Loop:
    lane = reference or reference_lane(split)
    return Loop(lane, Metrics(metrics), VOCAB, stop, ahead=AHEAD)


def run(
    split: SplitModel,
    candidates: Sequence[KVLane],
    cell: Batch,
    metrics: MetricsName = "numpy",
    reference: ReferenceLane | None = None,
) -> list[Outcome]:
    return list(loop_of(split, metrics, reference).score([ScoreTask(cell, candidates)]))


def scored(outcomes: list[Outcome]) -> dict[str, list[Positions]]:
    assert not any(isinstance(o, LaneFailed) for o in outcomes), outcomes
    return {o.lane.key: o.chunks for o in outcomes if isinstance(o, Scored)}


def same(got: Positions, expected: Positions) -> None:
    for field in fields(Positions):
        a, b = getattr(got, field.name), getattr(expected, field.name)
        np.testing.assert_array_equal(a, b, field.name)


@dataclass
class Spoilt:
    """Writes a value over logits at one place of the batch."""

    row: int
    position: int
    token: int | None
    value: float

    def __call__(self, logits: mx.array, start: int, stop: int) -> mx.array:
        if not start <= self.position < stop:
            return logits
        changed = np.array(logits)
        token = slice(None) if self.token is None else self.token
        changed[self.row, self.position - start, token] = self.value
        return mx.array(changed)


class SpoiltLane(KVLane):
    def __init__(self, lane: KVLane, spoilt: Spoilt) -> None:
        super().__init__(lane.model, lane.setting, lane.arithmetic)
        self.spoilt = spoilt

    def logits(self, hidden: mx.array, start: int, stop: int) -> mx.array:
        return self.spoilt(super().logits(hidden, start, stop), start, stop)


def target(row: int, position: int) -> int:
    return int(ids()[row, position + 1])
