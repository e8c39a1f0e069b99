"""The group of ranks that this process is one of: MLX's own, with messages of any length.

Ranks meet in exchanges: each gives a message and gets those of all. An exchange is two collectives
of MLX, lengths and then bytes, which it takes over TCP, Thunderbolt or between GPUs. MLX lets
other threads run meanwhile, but nothing can end a collective whose other ranks do not come: who
waits for one is watched, see :class:`ExchangeWatch`.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scorer.common.device_kind import DeviceKind
from scorer.common.errors import QfidError
from scorer.device.buffer_cache import waiting_for_ranks
from scorer.spec.ranks import JACCL, JACCL_RING, NCCL, RING

JOIN_SECONDS = 60
"""How long ranks that are all ready may take to reach each other."""
LEAST_PATIENCE = 60.0
LONGEST_ROUNDS = 10
PREPARING_PATIENCE = 3600.0
"""How long ranks may prepare: read a model from a slow disk, tokenize a long text."""

_LAST = 19
_WORD = 4
# Of a checksum: those that an int32 holds.
_BITS = 0x7FFFFFFF
_SEAL = 0x51F1D
_TICK = 0.1
# A process that was suspended, and its machine, count one tick.
_LONGEST_TICK = 1.0


class LinkLost(Exception):
    """Another rank is gone; MLX says so, and not which."""


class RankGroup:
    """The ranks of a run, this process among them.

    Attributes:
        group: MLX's own group.
        rank: Number of this process.
        size: How many there are.
        backend: MLX's backend.
        gathered: Bytes of all messages of this process's exchanges, its own included.
        exchanges: How many there were, one that is waited for included.
        coming: Called with that number before each exchange.
    """

    def __init__(self, backend: str) -> None:
        """Meet the other ranks, where the environment says.

        MLX holds the interpreter meanwhile. A process whose others do not come is ended after
        :data:`JOIN_SECONDS`, with exit code 1.

        Raises:
            QfidError: They cannot be reached.
        """
        import mlx.core as mx

        name = JACCL if backend == JACCL_RING else backend
        if not mx.distributed.is_available(name):
            raise QfidError(
                f"this installation of MLX has no `{name}` for ranks",
                "`ring` is in every one; a host file names it as its `backend`",
            )
        before = set(_own_threads())
        with _bounded():
            try:
                self.group = mx.distributed.init(strict=True, backend=name)
            except (RuntimeError, ValueError) as error:
                raise QfidError(
                    f"the ranks do not reach each other: {error}",
                    "see that their addresses are right and that no firewall is between them",
                ) from error
        self._threads = set(_own_threads()) - before
        self.backend = backend
        self.rank = int(self.group.rank())
        self.size = int(self.group.size())
        self.gathered = self.exchanges = 0
        self.coming: Callable[[int], object] = _nothing
        self.watch = ExchangeWatch()

    def leave_cores(self) -> None:
        """Let MLX's threads of the group have only what the others leave of the cores.

        The ring asks its sockets without a pause as long as it waits, which takes a core from
        scoring. Not for ranks that wait for each other in every layer.
        """
        _run_last(self._threads)

    def exchange(self, message: bytes) -> list[bytes]:
        """Give a message, and get those of all ranks in their order.

        Raises:
            LinkLost: A rank is gone.
        """
        self.exchanges += 1
        self.coming(self.exchanges)
        head = _sealed(len(message), zlib.crc32(message) & _BITS, self.exchanges)
        with self.watch.waiting(), waiting_for_ranks():
            try:
                heads = self._gathered(np.array(head, np.int32)).tolist()
                # Where a rank is lost in a collective, the others may get what was in memory, and
                # no error.
                if any(each != _sealed(each[0], each[1], self.exchanges) for each in heads):
                    raise LinkLost("a message came damaged")
                # Words, which every backend gathers; all of one length.
                words = -(-max(size for size, *_ in heads) // _WORD)
                padded = np.zeros(words, np.int32)
                padded.view(np.uint8)[: len(message)] = np.frombuffer(message, np.uint8)
                rows = self._gathered(padded).view(np.uint8) if words else [padded] * self.size
            except (RuntimeError, ValueError, MemoryError) as error:
                raise LinkLost(str(error)) from error
        found = [bytes(row[:size]) for row, (size, *_) in zip(rows, heads, strict=True)]
        for one, (_, check, *_) in zip(found, heads, strict=True):
            if zlib.crc32(one) & _BITS != check:
                raise LinkLost("a message came damaged")
        self.gathered += sum(map(len, found))
        return found

    def _gathered(self, own: NDArray[np.int32]) -> NDArray[np.int32]:
        """(ranks, N) of all ranks' (N,)."""
        import mlx.core as mx

        gathered = mx.distributed.all_gather(mx.array(own), group=self.group)
        # Other threads run during this wait, and not during one for NumPy.
        mx.eval(gathered)
        found: NDArray[np.int32] = np.array(gathered)
        return found.reshape(self.size, len(own))


def _own_threads() -> list[int]:
    """The threads of this process by the system's numbers; none where it does not tell."""
    with contextlib.suppress(OSError):
        return [int(path.name) for path in Path("/proc/self/task").iterdir()]
    return []


def _run_last(threads: Iterable[int]) -> None:
    """Let threads have what the others leave of the cores."""
    for thread in threads:
        with contextlib.suppress(OSError):
            # On Linux each thread has a priority of its own.
            os.setpriority(os.PRIO_PROCESS, thread, _LAST)


def _sealed(size: int, check: int, number: int) -> list[int]:
    """What goes before a message: its length, its checksum, its number, and a check of these."""
    return [size, check, number, (size ^ check ^ number ^ _SEAL) & _BITS]


class ExchangeWatch:
    """How long this process waits in an exchange, and how long it may.

    Time in which this process is suspended does not count.

    Attributes:
        patience: Seconds that an exchange may be waited for.
    """

    def __init__(self) -> None:
        self.patience = PREPARING_PATIENCE
        self.waited = 0.0
        self._in_exchange = False

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """An exchange, inside the block."""
        self.waited, self._in_exchange = 0.0, True
        try:
            yield
        finally:
            self._in_exchange = False

    def round_took(self, seconds: float) -> None:
        """Note a round: waits are measured by the longest."""
        before = 0.0 if self.patience == PREPARING_PATIENCE else self.patience
        self.patience = max(before, LEAST_PATIENCE, LONGEST_ROUNDS * seconds)

    @property
    def is_waiting(self) -> bool:
        """Whether this process waits in an exchange."""
        return self._in_exchange

    @property
    def is_over(self) -> bool:
        """Whether it has waited too long."""
        return self._in_exchange and self.waited > self.patience

    def start(self, look: Callable[[], bool]) -> None:
        """Look ten times a second, on a thread of its own, until that returns False."""

        def run() -> None:
            last = time.monotonic()
            while True:
                time.sleep(_TICK)
                now = time.monotonic()
                self.waited += min(now - last, _LONGEST_TICK)
                last = now
                if not look():
                    return

        threading.Thread(target=run, name="qfid-ranks", daemon=True).start()


def backend_for(kind: DeviceKind, wanted: str, shard: str = "") -> str:
    """The backend of ranks: what was asked for, else the ring.

    NCCL where GPUs hold one model together: what they exchange then are the states of every layer.
    Ranks with a model each exchange some megabytes in seconds. The ring takes them over the host,
    so no GPU waits for another, and it says at once that a rank is gone.

    Args:
        kind: Of the device.
        wanted: What was asked for; "" for nothing.
        shard: How the model is split; "" where each rank has its own.
    """
    return wanted or (NCCL if kind == "cuda" and shard else RING)


def _nothing(_: int) -> None:
    """The ``coming`` of a rank that tells nobody."""


@contextmanager
def _bounded() -> Iterator[None]:
    """End this process where the block takes too long, even if it holds the interpreter."""
    with contextlib.ExitStack() as files:
        sink = files.enter_context(open(os.devnull, "w", encoding="ascii"))  # noqa: PTH123
        faulthandler.dump_traceback_later(JOIN_SECONDS, exit=True, file=sink)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
