"""Rounds as rank 0 sees them, with ranks that stand in for processes."""

from __future__ import annotations

import contextlib
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from scorer.common.error_values import error_of
from scorer.common.errors import (
    Interrupted,
    ModelChanged,
    QfidError,
    RankLost,
    SettingFailed,
    WillNotFit,
)
from scorer.common.out_of_memory import is_out_of_memory
from scorer.engine.outcomes import LaneFailed, Outcome, PassDone, Scored, ScoreTask, Told
from scorer.engine.rank_lockstep import LINK, Lockstep, of_layers
from scorer.engine.rank_rounds import Rounds
from scorer.engine.rank_shares import Rates
from scorer.engine.rank_wire import (
    POSITION_BYTES,
    Share,
    failure_values,
    from_message,
    outcomes_message,
)
from scorer.engine.tiles import Batch
from scorer.fit.pass_size import PassSize
from scorer.runs.engagement import Engagement, SideEngagement
from scorer.spec.events import RanksScored
from scorer.stats.positions import Positions

LENGTH = 6
FOUND = Engagement((SideEngagement("0", "k", "Cache", 8, 64, 5, 40, True),), 1, ())


class Named:
    """A lane of which only the key counts."""

    def __init__(self, key: str) -> None:
        self.key = key


LANES = {key: cast(Any, Named(key)) for key in ("a", "b")}
IDS = np.arange(100 * LENGTH, dtype=np.int32).reshape(100, LENGTH)


def task(*chunks: int, lanes: str = "ab") -> ScoreTask:
    batch = Batch(chunks, IDS[chunks[0] : chunks[-1] + 1], 1)
    return ScoreTask(batch, [LANES[key] for key in lanes])


def positions(batch: Batch, row: int, key: str) -> Positions:
    """Positions that say where they are of; awkward values among them."""
    chunk, first = batch.chunks[row], 1 if key == "a" else 2
    count = LENGTH - 1 - first
    values = np.random.default_rng([chunk, ord(key)]).normal(size=(5, count))
    values[0, 0] = np.inf
    values[1, 0] = -0.0
    kl, nll_ref, nll_quant, top_ref, top_quant = values
    return Positions(
        chunk=np.full(count, chunk, np.int32),
        position=np.arange(first, LENGTH - 1, dtype=np.int32),
        token=batch.ids[row, first + 1 :],
        kl=kl,
        nll_ref=nll_ref,
        nll_quant=nll_quant,
        top_ref=np.full(count, 2**31 - 1, np.int32),
        top_ref_logprob=top_ref,
        top_quant=np.full(count, chunk, np.int32),
        top_quant_logprob=top_quant,
    )


class Scoring:
    """Scores tasks at once; fails or breaks off where a test says so."""

    at_once = 1

    def __init__(
        self, failing: dict[int, str] | None = None, error: BaseException | None = None
    ) -> None:
        self.failing = failing or {}
        self.error = error
        self.given: list[tuple[int, ...]] = []

    def score(self, tasks: Iterable[ScoreTask]) -> Iterator[Outcome]:
        failed: set[str] = set()
        for number, each in enumerate(tasks):
            self.given.append(each.batch.chunks)
            if self.error is not None and number == 1:
                raise self.error
            yield PassDone(each.batch, None, 1, 2)
            for lane in each.lanes:
                if self.failing.get(each.batch.chunks[0]) == lane.key:
                    failed.add(lane.key)
                    yield LaneFailed(lane, SettingFailed(f"{lane.key} fails", "a hint"))
                elif lane.key not in failed:
                    rows = range(len(each.batch.chunks))
                    made = [positions(each.batch, row, lane.key) for row in rows]
                    yield Scored(lane, made, 0.5, FOUND)


class Ahead(Scoring):
    """Gives outcomes late, as a device does that works ahead."""

    def __init__(self, failing: dict[int, str] | None = None, *, ahead: int = 0) -> None:
        super().__init__(failing)
        self.streams = 0
        self._ahead = ahead

    def score(self, tasks: Iterable[ScoreTask]) -> Iterator[Outcome]:
        self.streams += 1
        waiting: deque[Outcome] = deque()
        for outcome in super().score(tasks):
            waiting.append(outcome)
            if len(waiting) > self._ahead:
                yield waiting.popleft()
        yield from waiting


class Begun:
    """An exchange that is done once it has been asked for so often."""

    def __init__(self, found: list[bytes] | RankLost, asked: int) -> None:
        self._found = found
        self._left = asked

    def is_done(self) -> bool:
        self._left -= 1
        return self._left < 0

    def result(self) -> list[bytes]:
        if isinstance(self._found, RankLost):
            raise self._found
        return self._found


class FakeTeam:
    """Ranks that score in this process, each with a scoring of its own."""

    def __init__(
        self, *others: Scoring, lost_at: int | None = None, slow: Callable[[], int] = int
    ) -> None:
        self.names: Sequence[str] = [f"rank {n}" for n in range(len(others) + 1)]
        self.gathered = 0
        self.commands: list[dict[str, Any]] = []
        self._others = others
        self._exchanges = 0
        self._lost_at = lost_at
        self._slow = slow
        self._replies: deque[list[bytes]] = deque()
        self._gather = False

    def exchange(self, message: bytes) -> list[bytes]:
        self._exchanges += 1
        if self._exchanges == self._lost_at:
            raise RankLost("rank 1 was lost")
        nothing = [b"" for _ in self._others]
        replies = [message, *(self._replies.popleft() if self._gather else nothing)]
        self.gathered += sum(map(len, replies))
        command = from_message(message)[0]
        self.commands.append(command)
        if command["shares"]:
            pairs = zip(self._others, command["shares"][1:], strict=True)
            found = [_reply(other, Share.from_json(values)) for other, values in pairs]
            self._replies.append(found)
        # Ranks that hold a model together have one share at a time.
        self._gather = command.get("gather", bool(command["shares"]))
        return replies

    lost = None

    def begin(self, message: bytes) -> Begun:
        try:
            return Begun(self.exchange(message), self._slow())
        except RankLost as lost:
            return Begun(lost, self._slow())

    group = None

    def computing(self) -> AbstractContextManager[None]:
        return nullcontext()

    def met(self, hosts: Sequence[str]) -> None: ...

    def round_took(self, seconds: float) -> None: ...


def _reply(scoring: Scoring, share: Share) -> bytes:
    """What a rank says of its share."""
    given = [task(*chunks, lanes="".join(lanes)) for chunks, lanes in share.tasks]
    found: list[Scored | LaneFailed] = []
    error: dict[str, Any] | None = None
    try:
        for outcome in scoring.score(given):
            if isinstance(outcome, Scored | LaneFailed):
                found.append(outcome)
    except Exception as caught:
        error = failure_values(caught)
    return outcomes_message(found, given, seconds=0.5, error=error)


def rounds(team: FakeTeam, own: Scoring) -> Rounds:
    return Rounds(team, Rates(len(team.names), 2), own, PassSize(2), LANES)


def told(outcomes: Iterable[Outcome]) -> list[tuple[str, str, tuple[int, ...]]]:
    """What came out: kind, lane, chunks."""
    found = []
    for outcome in outcomes:
        if isinstance(outcome, Scored):
            chunks = tuple(int(each.chunk[0]) for each in outcome.chunks)
            found.append(("scored", outcome.lane.key, chunks))
        elif isinstance(outcome, LaneFailed):
            found.append(("failed", outcome.lane.key, ()))
    return found


TASKS = [task(n, n + 1) for n in range(0, 20, 2)]


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
def test_how_long_exchanges_take_changes_nothing(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor how many rounds are ahead, nor how soon results are given."""
    rng = random.Random(seed)
    if seed % 4 == 0:
        monkeypatch.setenv("QFID_PIPELINE", "plain")
    failing = {2 * rng.randrange(10): lane for lane in "ab"[: seed % 3]}
    ranks = rng.randint(2, 4)
    others = [Scoring(failing) for _ in range(1, ranks)]
    team = FakeTeam(*others, slow=lambda: rng.randrange(9))
    own = Ahead(failing, ahead=rng.randrange(8))
    made = Rounds(team, Rates(ranks, 1), own, PassSize(2), LANES, busy_device=bool(seed % 2))
    assert told(made.score(TASKS)) == told(Scoring(failing).score(TASKS))
    # No batch is scored twice.
    given = [chunks for each in (own, *others) for chunks in each.given]
    assert len(given) == len(set(given))


def test_the_next_round_is_there_before_this_one_is_gathered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that no rank waits for another that is a little slower."""
    for value, dealt in (("ahead", 2), ("plain", 1)):
        monkeypatch.setenv("QFID_PIPELINE", value)
        own, team = Ahead(), FakeTeam(Scoring(), slow=lambda: 2)
        list(Rounds(team, Rates(2, 1), own, PassSize(2), LANES).score(TASKS[:6]))
        asked = [command["gather"] for command in team.commands]
        assert asked.index(True) + 1 == dealt
        # The device of this process has work from the first batch to the last.
        assert own.streams == 1


def until_error(outcomes: Iterator[Outcome]) -> tuple[list[Any], BaseException]:
    found = []
    try:
        for outcome in outcomes:
            found += told([outcome])
    except (Exception, MemoryError) as error:
        return found, error
    raise AssertionError("no error")


SHORT = RuntimeError("[malloc] Unable to allocate 5 bytes")


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
