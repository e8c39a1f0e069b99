"""Ranks that hold a model together, as rank 0 sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from fake_ranks import FOUND, LANES, SHORT, TASKS, FakeTeam, Scoring, told, until_error

from scorer.common.errors import (
    Interrupted,
    RankLost,
    WillNotFit,
)
from scorer.engine.outcomes import Outcome, PassDone, Scored, ScoreTask
from scorer.engine.rank_lockstep import LINK, Lockstep, of_layers
from scorer.fit.pass_size import PassSize
from scorer.runs.engagement import Engagement


def lockstep(team: FakeTeam, own: Scoring, stop_after: int = 99) -> Lockstep:
    asked = iter(range(1000))
    return Lockstep(team, own, PassSize(2), LANES, lambda: next(asked) >= stop_after, "tensor")


def test_ranks_that_hold_a_model_together_score_every_batch() -> None:
    other, own = Scoring(), Scoring()
    team = FakeTeam(other)
    together = list(lockstep(team, own).score(TASKS))
    assert told(together) == told(Scoring().score(TASKS))
    assert own.given == other.given == [each.batch.chunks for each in TASKS]
    # Each rank has half of the heads.
    assert all(o.findings is not None for o in together if isinstance(o, Scored))
    found = next(o.findings for o in together if isinstance(o, Scored))
    assert isinstance(found, Engagement) and found.sides[0].stored_bytes == 80


@pytest.mark.parametrize("where", [0, 1])
def test_a_setting_that_any_rank_gives_up_is_given_up(where: int) -> None:
    scorings = [Scoring(), Scoring()]
    scorings[where].failing = {4: "b"}
    outcomes = told(lockstep(FakeTeam(scorings[1]), scorings[0]).score(TASKS[:3]))
    assert outcomes[:4] == [
        (k, n, c) for c in ((0, 1), (2, 3)) for k, n in (("scored", "a"), ("scored", "b"))
    ]
    assert sorted(outcomes[4:]) == [("failed", "b", ()), ("scored", "a", (4, 5))]


def test_they_stop_between_two_batches() -> None:
    own, other = Scoring(), Scoring()
    found, error = until_error(lockstep(FakeTeam(other), own, stop_after=2).score(TASKS))
    assert isinstance(error, Interrupted) and len(found) == 4
    assert own.given == other.given


class Breaking(Scoring):
    """Breaks off within its first batch."""

    def score(self, tasks: Iterable[ScoreTask]) -> Iterator[Outcome]:
        assert self.error is not None
        yield PassDone(next(iter(tasks)).batch, None, 1, 2)
        raise self.error


def test_a_rank_that_is_gone_within_a_pass_is_named() -> None:
    own = Breaking(error=RuntimeError(f"[ring] {LINK}"))
    _, error = until_error(lockstep(FakeTeam(Scoring(), lost_at=2), own).score(TASKS))
    assert isinstance(error, RankLost)


def test_a_pass_that_does_not_fit_is_not_tried_smaller() -> None:
    _, error = until_error(lockstep(FakeTeam(Scoring()), Breaking(error=SHORT)).score(TASKS))
    assert isinstance(error, WillNotFit) and "memory ran out on rank 0" in error.message


def test_findings_of_layers_are_put_in_the_order_of_the_model() -> None:
    first = Engagement(
        (replace(FOUND.sides[0], layer="1"), replace(FOUND.sides[0], layer="1", side="v")),
        1,
        (("0", "ArraysCache"),),
    )
    last = Engagement((replace(FOUND.sides[0], layer="0.1"),), 1, ())
    whole = of_layers([first, last])
    assert [(side.layer, side.side) for side in whole.sides] == [
        ("1", "k"),
        ("1", "v"),
        ("2.1", "k"),
    ]
    assert (whole.quantized, whole.total) == (2, 3)
    assert whole.skipped == (("0", "ArraysCache"),)
