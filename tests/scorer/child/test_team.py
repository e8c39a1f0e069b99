"""The ranks of a run in the process of rank 0: who is named, and when it is ended."""

from __future__ import annotations

from typing import Any, cast

import pytest

from scorer.child.team import StartedTeam
from scorer.common.errors import QfidError, RankLost
from scorer.device.ranks import (
    LEAST_PATIENCE,
    LONGEST_ROUNDS,
    PREPARING_PATIENCE,
    ExchangeWatch,
    LinkLost,
)
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.ranks import LINK_LOST, Host, Ranks
from scorer.spec.settings.registry import parse_settings

JOB = Job("demo", tuple(parse_settings("8")), CorpusSpec("builtin"))


class FakeProcess:
    """A rank that has ended, or not."""

    def __init__(
        self, rank: int, gone: float | None = None, code: int = -9, exchanges: int = 0
    ) -> None:
        self.name = f"rank {rank} (here)"
        self.rank = rank
        self.exchanges = exchanges
        self.is_cause = gone is not None and code != LINK_LOST
        self.killed = ""
        self._gone = gone
        self._code = code

    def gone_since(self) -> float | None:
        return self._gone

    def ending(self) -> str:
        return f"ended with {self._code}"

    def last_lines(self) -> str:
        return "one | two"

    def kill(self, why: str) -> None:
        self.killed = why

    def end_input(self) -> None: ...

    def close(self, seconds: float) -> None: ...


class FakeGroup:
    """A group whose exchanges fail or are waited for."""

    def __init__(self) -> None:
        self.watch = ExchangeWatch()
        self.exchanges = 4
        self.given: list[bytes] = []
        self.leaves_cores = False

    def exchange(self, message: bytes) -> list[bytes]:
        raise LinkLost("gone")

    def leave_cores(self) -> None:
        self.leaves_cores = True


@pytest.fixture
def team(monkeypatch: pytest.MonkeyPatch) -> tuple[StartedTeam, FakeGroup, list[QfidError]]:
    ended: list[QfidError] = []
    monkeypatch.setattr(StartedTeam, "_start", lambda _: None)
    monkeypatch.setattr("scorer.child.team.before_mlx", lambda *_: {})
    monkeypatch.setattr("scorer.child.team._SECONDS_TO_NAME", 0.05)
    found = StartedTeam(Ranks((Host(),) * 4), JOB, ended.append)
    group = FakeGroup()
    found._group = cast(Any, group)
    return found, group, ended


Made = tuple[StartedTeam, FakeGroup, list[QfidError]]


def with_processes(team: StartedTeam, *processes: FakeProcess) -> None:
    team._processes = cast(Any, list(processes))


def test_the_rank_that_died_is_named_and_not_those_that_followed(team: Made) -> None:
    found, _, _ = team
    with_processes(
        found, FakeProcess(1, 5.0, LINK_LOST), FakeProcess(2, 7.0), FakeProcess(3, 8.0, 1)
    )
    with pytest.raises(RankLost, match=r"rank 2 \(here\) ended with -9") as error:
        found.exchange(b"")
    assert error.value.hint == "its last lines: one | two"


@pytest.mark.parametrize(
    ("processes", "words"),
    [
        ([], "the link to one of rank 1 (127.0.0.1), rank 2 (127.0.0.1), rank 3 (127.0.0.1) was"),
        ([FakeProcess(1), FakeProcess(2)], "the link to one of"),
    ],
)
def test_a_lost_link_is_said_where_nobody_is_known_to_have_died(
    team: Made, processes: list[FakeProcess], words: str
) -> None:
    found, _, _ = team
    with_processes(found, *processes)
    with pytest.raises(RankLost) as error:
        found.exchange(b"")
    assert error.value.message.startswith(words)


def late(group: FakeGroup) -> None:
    group.watch._in_exchange = True
    group.watch.round_took(0.1)
    group.watch.waited = LEAST_PATIENCE + 1


def test_a_rank_that_does_not_come_is_ended_and_named(team: Made) -> None:
    found, group, ended = team
    coming, hanging = FakeProcess(1, exchanges=4), FakeProcess(2, exchanges=3)
    with_processes(found, coming, hanging)
    group.watch._in_exchange = True
    assert found._look() and not hanging.killed
    late(group)
    assert found._look()
    assert hanging.killed and not coming.killed and not ended
    # Its link is lost now, which ends the wait of the main thread.
    with pytest.raises(RankLost, match=r"rank 2 \(here\) gave no answer for 60 s"):
        found.exchange(b"")


def test_the_process_is_ended_where_nothing_ends_the_wait(team: Made) -> None:
    """Between GPUs nothing says that a rank is gone; and of some ranks there is no process."""
    found, group, ended = team
    with_processes(found, FakeProcess(1, gone=-100.0))
    assert found._look() and not ended
    group.watch._in_exchange = True
    with found._blocked():
        assert not found._look()
    assert "rank 1 (here) ended with -9" in ended[0].message
    ended.clear()
    found.lost = None
    with_processes(found)
    late(group)
    with found._blocked():
        assert not found._look()
    assert "gave no answer" in ended[0].message


@pytest.mark.parametrize("gone", [True, False])
def test_a_process_that_scores_meanwhile_saves_what_it_has(team: Made, gone: bool) -> None:
    found, group, ended = team
    with_processes(found, *([FakeProcess(1, gone=-100.0)] if gone else []))
    late(group)
    assert found.lost is None
    # It is told, and not ended.
    assert found._look() and not ended
    assert isinstance(found.lost, RankLost)
    # It waits for the exchange all the same: nothing else would end that.
    with found._blocked():
        assert not found._look()
    assert ended == [found.lost]


def test_exchanges_are_begun_in_order_and_waited_for_later(team: Made) -> None:
    found, group, _ = team
    said: list[bytes] = []

    def exchange(message: bytes) -> list[bytes]:
        said.append(message)
        return [message]

    group.exchange = exchange  # type: ignore[method-assign]
    begun = [found.begin(b"%d" % number) for number in range(5)]
    assert [each.result() for each in begun] == [[b"%d" % number] for number in range(5)]
    assert all(each.is_done() for each in begun) and said == [b"0", b"1", b"2", b"3", b"4"]
    group.exchange = FakeGroup().exchange  # type: ignore[method-assign]
    lost = found.begin(b"")
    with pytest.raises(RankLost):
        lost.result()


def test_no_wait_is_longer_than_ten_of_the_longest_rounds() -> None:
    watch = ExchangeWatch()
    assert watch.patience == PREPARING_PATIENCE
    watch.round_took(1.0)
    assert watch.patience == LEAST_PATIENCE
    watch.round_took(50.0)
    watch.round_took(2.0)
    assert watch.patience == LONGEST_ROUNDS * 50.0
    watch.waited = 501.0
    assert not watch.is_over
    with watch.waiting():
        watch.waited = 499.0
        assert not watch.is_over
        watch.waited = 501.0
        assert watch.is_over


class Backend:
    kind = "cpu"


def test_ranks_are_started_anew_where_a_port_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[dict[str, Any]]] = []
    failing = [True, False]

    class Started:
        name, rank, port = "rank 1 (here)", 1, 40001
        exchanges, killed = 0, ""

        def gone_since(self) -> None:
            return None

        def order(self, values: dict[str, Any]) -> None:
            started[-1].append(values)

        def end_input(self) -> None: ...

        def close(self, seconds: float) -> None: ...

    def start(team: StartedTeam) -> None:
        started.append([])
        team._processes = cast(Any, [Started()])

    class Group(FakeGroup):
        def __init__(self, backend: str) -> None:
            if failing.pop(0):
                raise QfidError("Couldn't bind socket")
            super().__init__()

    monkeypatch.setattr(StartedTeam, "_start", start)
    monkeypatch.setattr("scorer.child.team.before_mlx", lambda *_: {})
    monkeypatch.setattr("scorer.device.ranks.RankGroup", Group)
    for name in ("MLX_RANK", "MLX_HOSTFILE"):
        # Set by the team, and not for later tests.
        monkeypatch.setenv(name, "")
    team = StartedTeam(Ranks((Host(), Host())), JOB, lambda _: None)
    assert team.join(cast(Any, Backend())) is team
    assert cast(Any, team._group).leaves_cores
    team.close()
    assert len(started) == 2 and all(len(orders) == 1 for orders in started)
    ((first,), (second,)) = started
    assert first["backend"] == "ring" and first["variables"] == {"MLX_RANK": "1"}
    assert '"127.0.0.1:40001"' in second["files"]["MLX_HOSTFILE"]
    failing[:] = [True] * 3
    with pytest.raises(QfidError, match="bind"):
        StartedTeam(Ranks((Host(), Host())), JOB, lambda _: None).join(cast(Any, Backend()))
