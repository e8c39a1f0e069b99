"""Rounds as rank 0 sees them, with ranks that stand in for processes."""

from __future__ import annotations

import contextlib
import random

import pytest
from fake_ranks import FOUND, LANES, SHORT, TASKS, Ahead, FakeTeam, Scoring, task, told, until_error

from scorer.common.error_values import error_of
from scorer.common.errors import (
    Interrupted,
    ModelChanged,
    QfidError,
    RankLost,
    WillNotFit,
)
from scorer.common.out_of_memory import is_out_of_memory
from scorer.engine.outcomes import Scored, Told
from scorer.engine.rank_rounds import Rounds
from scorer.engine.rank_shares import Rates
from scorer.engine.rank_wire import (
    POSITION_BYTES,
    Share,
    failure_values,
    from_message,
    outcomes_message,
)
from scorer.fit.pass_size import PassSize
from scorer.spec.events import RanksScored
from scorer.stats.positions import Positions


def rounds(team: FakeTeam, own: Scoring) -> Rounds:
    return Rounds(team, Rates(len(team.names), 2), own, PassSize(2), LANES)


@pytest.mark.parametrize("busy_device", [False, True])
@pytest.mark.parametrize("ranks", [2, 3, 7])
def test_outcomes_are_those_of_one_process_in_its_order(ranks: int, busy_device: bool) -> None:
    alone = list(Scoring().score(TASKS))
    team = FakeTeam(*(Scoring() for _ in range(ranks - 1)))
    made = Rounds(team, Rates(ranks, 2), Scoring(), PassSize(2), LANES, busy_device=busy_device)
    together = list(made.score(TASKS))
    assert told(together) == told(alone)
    mine = [outcome for outcome in alone if isinstance(outcome, Scored)]
    theirs = [outcome for outcome in together if isinstance(outcome, Scored)]
    for one, other in zip(mine, theirs, strict=True):
        assert one.lane is other.lane and other.findings == FOUND
        for expected, got in zip(one.chunks, other.chunks, strict=True):
            for name in Positions.__dataclass_fields__:
                a, b = getattr(expected, name), getattr(got, name)
                assert a.dtype == b.dtype and a.tobytes() == b.tobytes(), name
    events = [o.event for o in together if isinstance(o, Told)]
    last = events[-1]
    assert isinstance(last, RanksScored) and sum(last.cells) == 40


def test_a_position_takes_48_bytes() -> None:
    given = [task(0, 1, lanes="a")]
    outcomes = [o for o in Scoring().score(given) if isinstance(o, Scored)]
    bare = [Scored(o.lane, [c.select(slice(0, 0)) for c in o.chunks], 0.5, FOUND) for o in outcomes]
    with_positions = outcomes_message(outcomes, given, seconds=1.0, error=None)
    assert POSITION_BYTES == 48
    assert len(from_message(with_positions)[1]) == 48 * sum(
        len(chunk) for o in outcomes for chunk in o.chunks
    )
    assert bare


@pytest.mark.parametrize("chunk", range(0, 20, 2))
def test_a_setting_is_given_up_as_in_one_process(chunk: int) -> None:
    """Wherever it fails, and whoever has scored it on later chunks meanwhile."""
    failing = {chunk: "b"}
    alone = told(Scoring(failing).score(TASKS))
    team = FakeTeam(Scoring(failing), Scoring(failing))
    assert told(rounds(team, Scoring(failing)).score(TASKS)) == alone


@pytest.mark.parametrize("seed", range(40))
def test_how_long_exchanges_take_changes_nothing(seed: int) -> None:
    """Nor how many rounds are ahead, nor how soon results are given."""
    rng = random.Random(seed)
    failing = {2 * rng.randrange(10): lane for lane in "ab"[: seed % 3]}
    ranks = rng.randint(2, 4)
    others = [Scoring(failing) for _ in range(1, ranks)]
    team = FakeTeam(*others, slow=lambda: rng.randrange(9))
    own = Ahead(failing, ahead=rng.randrange(8))
    made = Rounds(
        team,
        Rates(ranks, 1),
        own,
        PassSize(2),
        LANES,
        busy_device=bool(seed % 2),
        ahead=seed % 4 % 3,
    )
    assert told(made.score(TASKS)) == told(Scoring(failing).score(TASKS))
    # No batch is scored twice.
    given = [chunks for each in (own, *others) for chunks in each.given]
    assert len(given) == len(set(given))


def test_no_exchange_is_under_way_at_the_end() -> None:
    """Not even one that deals nothing, because all lanes that are left were given up."""
    team = FakeTeam(Scoring({0: "a"}), slow=lambda: 3)
    made = rounds(team, Scoring({0: "a"}))
    assert told(made.score([task(0, lanes="a")])) == [("failed", "a", ())]
    assert told(made.score([task(1, lanes="a")])) == []
    assert len(team.begun) > 2 and all(begun.is_taken for begun in team.begun)


def test_the_next_round_is_there_before_this_one_is_gathered() -> None:
    """So that no rank waits for another that is a little slower."""
    for ahead, dealt in ((1, 2), (0, 1), (2, 3)):
        own, team = Ahead(), FakeTeam(Scoring(), slow=lambda: 2)
        list(Rounds(team, Rates(2, 1), own, PassSize(2), LANES, ahead=ahead).score(TASKS[:6]))
        asked = [command["gather"] for command in team.commands]
        assert asked.index(True) + 1 == dealt
        # The device of this process has work from the first batch to the last.
        assert own.streams == 1


@pytest.mark.parametrize("where", [0, 1])
def test_what_others_scored_is_kept_where_memory_runs_out(where: int) -> None:
    scorings = [Scoring(), Scoring()]
    scorings[where].error = SHORT
    team = FakeTeam(scorings[1])
    found, error = until_error(rounds(team, scorings[0]).score(TASKS))
    assert is_out_of_memory(error) and "Unable to allocate" in str(error)
    # The first round is two batches each; one of them is not scored. The other rank has its share
    # of the second by then, or of the third, and this one is at the second.
    assert len(found) == (10, 12)[where]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (WillNotFit("memory ran short", "free some"), "rank 1: memory ran short"),
        (ModelChanged("a file was changed"), "rank 1: a file was changed"),
        (KeyError("x"), "rank 1: internal error: KeyError"),
    ],
)
def test_an_error_elsewhere_ends_the_run_by_name(error: Exception, words: str) -> None:
    found, raised = until_error(rounds(FakeTeam(Scoring(error=error)), Scoring()).score(TASKS))
    assert isinstance(raised, QfidError) and words in raised.message
    assert type(raised) is (type(error) if isinstance(error, QfidError) else QfidError)
    assert len(found) == 12


def test_whoever_stops_waits_for_nobody() -> None:
    team = FakeTeam(Scoring(), lost_at=3)
    found, error = until_error(rounds(team, Scoring(error=Interrupted("stop"))).score(TASKS))
    assert isinstance(error, Interrupted) and len(found) == 2


def test_a_lost_rank_ends_the_run_and_its_own_share_is_kept() -> None:
    found, error = until_error(rounds(FakeTeam(Scoring(), lost_at=3), Scoring()).score(TASKS))
    # A batch that is begun when this is known is scored to its end.
    assert isinstance(error, RankLost) and len(found) == 6


def test_passes_have_the_size_that_counts_now() -> None:
    team = FakeTeam(Scoring())
    made = Rounds(team, Rates(2, 1), Scoring(), PassSize(1, 1 << 20), LANES)
    list(made.score([task(n) for n in range(4)]))
    sizes = {Share.from_json(v).size for c in team.commands for v in c["shares"]}
    assert sizes == {PassSize(1, 1 << 20)}


def test_memory_that_runs_out_elsewhere_has_its_exit_code() -> None:
    values = failure_values(MemoryError())
    assert (values["error"], values["exit_code"]) == ("MemoryError", 3)
    error = error_of(values)
    assert error.exit_code == 3 and error.message


@pytest.mark.parametrize("error", [None, Interrupted("stop"), SHORT])
def test_a_busy_device_is_given_work_before_the_round_before_is_saved(
    error: BaseException | None,
) -> None:
    own = Scoring()
    made = Rounds(FakeTeam(Scoring()), Rates(2, 1), own, PassSize(2), LANES, busy_device=True)
    outcomes = made.score(TASKS)
    seen = []
    with contextlib.suppress(Interrupted, RuntimeError):
        for outcome in outcomes:
            if isinstance(outcome, Scored) and outcome.chunks[0].chunk[0] == 2:
                seen.append(list(own.given))
                own.error = error
    # Chunks 2 and 3 are the other rank's; this one is at 4 when they come out.
    assert seen == [[(0, 1), (4, 5)]] * 2
