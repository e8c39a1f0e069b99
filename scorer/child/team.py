"""The ranks of a run in the process of rank 0: started, met, watched, ended."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorer.child.rank_process import RankProcess, named
from scorer.common.errors import InputError, QfidError, RankLost
from scorer.device.exchange_thread import ExchangeThread
from scorer.device.rank_places import before_mlx, free_port, meeting
from scorer.spec.job import Job
from scorer.spec.ranks import NCCL, Ranks, launched_backend

if TYPE_CHECKING:
    from scorer.device.backend import Backend
    from scorer.device.ranks import RankGroup

START_SECONDS = 120.0
"""How long a rank may take to start and to import MLX."""
TRIES = 3
"""How often ranks are started anew where a port was taken meanwhile."""

# The thread that gives a GPU its work takes turns with the one that saves what all ranks have
# scored. In turns of Python's own 5 ms the GPU runs out of work.
_TURN_SECONDS = 0.0005
_STEP = 0.02
# In a ring the last rank connects first: to one that does not listen yet it would try again a
# second later.
_HEAD_START = 0.05
# After a rank has died, MLX says so in a second, where it says it at all.
_SECONDS_TO_SAY = 3.0
_SECONDS_TO_END = 2.0
_SECONDS_TO_NAME = 1.5


class StartedTeam:
    """The ranks of a run; this process is rank 0.

    Args:
        ranks: Where they are.
        job: What the run scores.
        at_once: Ends this process with an error while its main thread waits for a rank that does
            not come.

    Attributes:
        names: Each rank and its machine, for messages.
        lost: See :class:`scorer.engine.team.Team`.
    """

    def __init__(self, ranks: Ranks, job: Job, at_once: Callable[[QfidError], object]) -> None:
        """Start the other ranks, which import while this process does.

        Raises:
            QfidError: One cannot be started.
        """
        self._ranks = ranks
        self._job = job
        self._at_once = at_once
        self._group: RankGroup | None = None
        self._processes: list[RankProcess] = []
        self._closed = False
        self._hung: RankLost | None = None
        self.lost: RankLost | None = None
        # Whether the thread that scores waits for an exchange.
        self._is_blocked = False
        self._exchanges = ExchangeThread(self._exchange)
        self.names: Sequence[str] = [named(rank, host.ssh) for rank, host in enumerate(ranks.hosts)]
        if not ranks.launched:
            environment = dict(os.environ)
            self._variables = [before_mlx(ranks, n, environment) for n in range(len(ranks.hosts))]
            os.environ.update(self._variables[0])
            self._start()

    def _start(self) -> None:
        for rank, host in list(enumerate(self._ranks.hosts))[1:]:
            try:
                variables = self._variables[rank]
                self._processes.append(RankProcess(rank, host, variables, self._job))
            except QfidError:
                self._end_processes()
                raise

    def join(self, backend: Backend) -> StartedTeam:
        """Meet the other ranks, once MLX is imported here.

        Raises:
            InputError: This installation cannot.
            RankLost: One did not start.
        """
        from scorer.device.ranks import RankGroup, backend_for

        if self._ranks.launched:
            with _said_first("the program that started them"):
                self._group = RankGroup(launched_backend(os.environ))
            self.names = [named(rank, "?") for rank in range(self._group.size)]
        else:
            name = backend_for(backend.kind, self._ranks.backend, self._ranks.shard)
            self._group = self._met(name)
        self._group.watch.start(self._look)
        if backend.kind != "cpu":
            sys.setswitchinterval(_TURN_SECONDS)
        elif not self._ranks.shard:
            self._group.leave_cores()
        return self

    def _met(self, backend: str) -> RankGroup:
        from scorer.device.ranks import RankGroup

        for last in (False,) * (TRIES - 1) + (True,):
            self._await_ready()
            ports = [free_port(), *(each.port or 0 for each in self._processes)]
            variables, files = meeting(self._ranks, backend, ports)
            for process in self._processes:
                process.order(
                    {
                        "backend": backend,
                        "variables": variables[process.rank],
                        "files": files,
                        "delay": _HEAD_START if process is self._processes[-1] else 0,
                    }
                )
            elsewhere = [n for n, host in enumerate(self._ranks.hosts) if not host.is_here]
            others = ", ".join(self.names[n] for n in elsewhere)
            said = _said_first(others) if others else contextlib.nullcontext()
            with written(files) as paths, said:
                os.environ.update(variables[0] | paths)
                try:
                    return RankGroup(backend)
                except InputError:
                    raise
                except QfidError:
                    if last:
                        raise
            self._end_processes()
            self._start()
        raise AssertionError("the last try returns or raises")

    def _await_ready(self) -> None:
        until = time.monotonic() + START_SECONDS
        while waiting := [each for each in self._processes if each.port is None]:
            for each in waiting:
                if each.gone_since() is not None:
                    raise self._lost(each)
            if time.monotonic() > until:
                raise RankLost(
                    f"{waiting[0].name} did not start within {START_SECONDS:.0f} s",
                    _said(waiting[0]),
                )
            time.sleep(_STEP)

    @property
    def group(self) -> Any:
        """MLX's group of the ranks."""
        assert self._group is not None
        return self._group.group

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Passes inside the block wait for the other ranks, too, and are watched."""
        assert self._group is not None
        with self._group.watch.waiting(), self._blocked():
            yield

    @property
    def is_over_host(self) -> bool:
        """Whether exchanges leave the GPUs alone: all but those of NCCL do."""
        return self._group is None or self._group.backend != NCCL

    @property
    def gathered(self) -> int:
        """Bytes of all messages so far."""
        return 0 if self._group is None else self._group.gathered

    def met(self, hosts: Sequence[str]) -> None:
        """Note the machine of every rank."""
        if self._ranks.launched:
            self.names = [named(rank, host) for rank, host in enumerate(hosts)]

    def round_took(self, seconds: float) -> None:
        """Note a round: waits are measured by the longest."""
        assert self._group is not None
        self._group.watch.round_took(seconds)

    def exchange(self, message: bytes) -> list[bytes]:
        """Give a message; get those of all ranks in their order.

        Raises:
            RankLost: One is gone, or does not come.
        """
        with self._blocked():
            return self._exchange(message)

    def begin(self, message: bytes) -> Begun:
        """Begin an exchange, which goes on while this thread computes."""
        return Begun(self._exchanges.begin(message), self._blocked)

    @contextmanager
    def _blocked(self) -> Iterator[None]:
        """The thread that scores waits for an exchange inside the block."""
        self._is_blocked = True
        try:
            yield
        finally:
            self._is_blocked = False

    def _exchange(self, message: bytes) -> list[bytes]:
        from scorer.device.ranks import LinkLost

        assert self._group is not None
        if (gone := self._first_gone()) is not None:
            raise self._lost(gone)
        try:
            return self._group.exchange(message)
        except LinkLost:
            raise self._lost_link() from None

    def _first_gone(self) -> RankProcess | None:
        """The rank that ended first for a reason of its own; else any that ended."""
        gone = [each for each in self._processes if each.gone_since() is not None]
        return min(gone, key=lambda each: (not each.is_cause, each.gone_since()), default=None)

    def _lost_link(self) -> RankLost:
        if self._hung is not None:
            return self._hung
        until = time.monotonic() + _SECONDS_TO_NAME
        while self._processes and time.monotonic() < until:
            gone = self._first_gone()
            if gone is not None and gone.is_cause:
                return self._lost(gone)
            time.sleep(_STEP)
        gone = self._first_gone()
        if gone is not None:
            return self._lost(gone)
        which = self.names[1] if len(self.names) == 2 else f"one of {', '.join(self.names[1:])}"
        return RankLost(f"the link to {which} was lost")

    def _lost(self, process: RankProcess) -> RankLost:
        return RankLost(f"{process.name} {process.ending()}", _said(process))

    def _look(self) -> bool:
        """Look after the ranks; called ten times a second on a thread of its own."""
        group = self._group
        assert group is not None
        if self._closed:
            return False
        if self.lost is not None:
            return self._give_up(self.lost)
        gone = self._first_gone()
        since = None if gone is None else gone.gone_since()
        if gone is not None and since is not None and group.watch.is_waiting:
            if time.monotonic() - since > _SECONDS_TO_SAY:
                # Between GPUs nothing says that a rank is gone.
                return self._give_up(self._hung or self._lost(gone))
        if group.watch.is_over and self._hung is None:
            late = [each for each in self._processes if each.exchanges < group.exchanges]
            names = ", ".join(each.name for each in late) or " or ".join(self.names[1:])
            said = _said(late[0]) if late else ""
            self._hung = RankLost(f"{names} gave no answer for {group.watch.patience:.0f} s", said)
            if not late:
                return self._give_up(self._hung)
            for each in late:
                each.kill("gave no answer")
        return True

    def _give_up(self, lost: RankLost) -> bool:
        """End this process where it waits for a rank; else let it save what it has scored.

        Returns:
            Whether to look again.
        """
        self.lost = lost
        if self._is_blocked:
            self._at_once(lost)
        return not self._is_blocked

    def close(self) -> None:
        """End the ranks that are left."""
        self._closed = True
        self._end_processes()

    def _end_processes(self) -> None:
        for process in self._processes:
            process.end_input()
        until = time.monotonic() + _SECONDS_TO_END
        for process in self._processes:
            process.close(max(0.0, until - time.monotonic()))
        self._processes = []


class Begun:
    """An exchange that is under way.

    Args:
        future: Its messages, or what ended it.
        blocked: The thread that scores waits inside such a block.
    """

    def __init__(
        self,
        future: Future[list[bytes]],
        blocked: Callable[[], contextlib.AbstractContextManager[None]],
    ) -> None:
        self._future = future
        self._blocked = blocked

    def is_done(self) -> bool:
        """Whether its messages are here, or it has failed."""
        return self._future.done()

    def result(self) -> list[bytes]:
        """Wait for the messages of all ranks, in their order.

        Raises:
            RankLost: One is gone, or does not come.
        """
        with self._blocked():
            return self._future.result()


def _said(process: RankProcess) -> str:
    lines = process.last_lines()
    return f"its last lines: {lines}" if lines else ""


@contextmanager
def written(files: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Files for MLX, there inside the block; the variable of each to its path."""
    with tempfile.TemporaryDirectory(prefix="qfid-ranks-") as folder:
        paths = {}
        for name, content in files.items():
            path = Path(folder) / name
            path.write_text(content, encoding="utf-8")
            paths[name] = str(path)
        yield paths


@contextmanager
def _said_first(others: str) -> Iterator[None]:
    """What stands in the log of this process where the block ends it, see ``RankGroup``."""
    from scorer.device.ranks import JOIN_SECONDS

    _log(
        f"waiting up to {JOIN_SECONDS} s for {others}: see that their addresses are right and that "
        "no firewall is between them"
    )
    yield
    _log("the ranks have met")


def _log(line: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
