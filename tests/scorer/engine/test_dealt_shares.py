"""Shares as a rank takes them in: without a break, and told in the order of the deals."""

from __future__ import annotations

import time
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any, cast

import pytest
from deadline import DEADLINE
from fake_ranks import LANES, SHORT, Ahead, Scoring, task

from scorer.device.ranks import ExchangeWatch, LinkLost
from scorer.engine.dealt_shares import DealtShares, OwnShares
from scorer.engine.outcomes import LaneFailed, Scored
from scorer.engine.rank_wire import Share, from_message, outcomes_of, to_message
from scorer.fit.pass_size import PassSize

SIZE = PassSize(2)


class Dealing:
    """Rank 0 of a group: says what a test has put down, and notes what it is told."""

    rank = 1

    def __init__(self) -> None:
        self.watch = ExchangeWatch()
        self.commands: SimpleQueue[bytes | Exception] = SimpleQueue()
        self.told: SimpleQueue[bytes] = SimpleQueue()

    def exchange(self, message: bytes) -> list[bytes]:
        self.told.put(message)
        command = self.commands.get(timeout=DEADLINE)
        if isinstance(command, Exception):
            raise command
        return [command, message]

    def deal(self, *chunks: int, gather: bool, size: PassSize = SIZE) -> None:
        shares = [
            Share.of([task(chunk) for chunk in each], size).to_json() for each in ((), chunks)
        ]
        self.commands.put(to_message({"shares": shares if chunks else [], "gather": gather}))

    def end(self) -> None:
        self.commands.put(to_message({"end": True}))

    def outcomes(self, *chunks: int) -> tuple[list[tuple[str, int] | str], Any]:
        """The next message that holds any, as what came of a share; and its error."""
        while not (message := self.told.get(timeout=DEADLINE)):
            pass
        found: list[tuple[str, int] | str] = []
        for outcome in outcomes_of(message, [task(chunk) for chunk in chunks], LANES):
            if isinstance(outcome, Scored):
                found.append((outcome.lane.key, int(outcome.chunks[0].chunk[0])))
            else:
                found.append(f"{outcome.lane.key} failed")
        return found, from_message(message)[0]["error"]


def scored(dealt: DealtShares, scoring: Scoring) -> Iterator[int]:
    """Score what is dealt as a rank does; the chunks that go without a break."""
    while (first := dealt.next()) is not None:
        shares = OwnShares(first, dealt, lambda chunks, lanes: task(*chunks, lanes="".join(lanes)))
        error: Exception | None = None
        before = len(scoring.given)
        try:
            for outcome in scoring.score(shares.tasks()):
                if isinstance(outcome, Scored | LaneFailed):
                    shares.note(outcome)
        except RuntimeError as caught:
            error = caught
        shares.end(error)
        yield len(scoring.given) - before


def begun(group: Dealing) -> DealtShares:
    return DealtShares(cast(Any, group))


def taken_in(dealt: DealtShares, shares: int) -> None:
    """Wait until so many shares are there, none of which is begun."""
    until = time.monotonic() + DEADLINE
    while dealt._dealt.qsize() < shares:
        assert time.monotonic() < until
        time.sleep(0.001)


def two_dealt(
    first: tuple[int, ...], second: tuple[int, ...], size: PassSize = SIZE
) -> tuple[Dealing, DealtShares]:
    """A group that has dealt two shares, neither of which is begun.

    Args:
        first: Chunks of the first.
        second: Chunks of the other.
        size: Of the other.
    """
    group = Dealing()
    dealt = begun(group)
    group.deal(*first, gather=False)
    group.deal(*second, gather=True, size=size)
    taken_in(dealt, 2)
    return group, dealt


@pytest.mark.parametrize("ahead", [0, 1, 5, 40])
def test_shares_that_are_there_are_scored_without_a_break(ahead: int) -> None:
    group, dealt = two_dealt((0, 1), (4, 5, 6))
    scoring = Ahead(ahead=ahead)
    runs = scored(dealt, scoring)
    assert next(runs) == 5
    assert group.outcomes(0, 1) == ([("a", 0), ("b", 0), ("a", 1), ("b", 1)], None)
    # What came of the other goes out with the next exchange.
    group.deal(gather=True)
    assert len(group.outcomes(4, 5, 6)[0]) == 6
    group.end()
    assert list(runs) == []


def test_an_empty_share_is_told_like_another() -> None:
    group = Dealing()
    dealt = begun(group)
    shares = [Share.of([task(0)], SIZE).to_json(), Share.of([], SIZE).to_json()]
    group.commands.put(to_message({"shares": shares, "gather": True}))
    runs = scored(dealt, Scoring())
    assert next(runs) == 0 and group.outcomes() == ([], None)
    group.end()
    assert list(runs) == []


def test_a_share_of_another_size_is_begun_anew() -> None:
    group, dealt = two_dealt((0,), (1,), PassSize(1))
    runs = scored(dealt, Scoring())
    assert next(runs) == 1 and group.outcomes(0)[0] == [("a", 0), ("b", 0)]
    assert next(runs) == 1
    group.deal(gather=True)
    assert group.outcomes(1)[0] == [("a", 1), ("b", 1)]


def test_a_lane_that_failed_is_waited_for_no_more() -> None:
    group, dealt = two_dealt((0, 1), (2,))
    runs = scored(dealt, Scoring({1: "b"}))
    assert next(runs) == 3
    assert group.outcomes(0, 1) == ([("a", 0), ("b", 0), ("a", 1), "b failed"], None)
    group.deal(gather=True)
    assert group.outcomes(2) == ([("a", 2)], None)


def test_an_error_ends_its_share_and_the_next_one_is_tried() -> None:
    group, dealt = two_dealt((0, 1), (2,))
    scoring = Scoring(error=SHORT)
    runs = scored(dealt, scoring)
    next(runs)
    found, error = group.outcomes(0, 1)
    assert found == [("a", 0), ("b", 0)] and error["error"] == "MemoryError"
    scoring.error = None
    next(runs)
    group.deal(gather=True)
    assert group.outcomes(2) == ([("a", 2), ("b", 2)], None)


def test_a_lost_link_is_raised_where_nothing_is_left_to_score() -> None:
    group = Dealing()
    dealt = begun(group)
    group.deal(0, gather=False)
    group.commands.put(LinkLost("gone"))
    taken_in(dealt, 2)
    runs = scored(dealt, Scoring())
    assert next(runs) == 1
    with pytest.raises(LinkLost):
        next(runs)
