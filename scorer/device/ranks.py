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
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from scorer.common.device_kind import DeviceKind
from scorer.common.errors import QfidError
from scorer.spec.ranks import JACCL, JACCL_RING, NCCL, RING

JOIN_SECONDS = 60
"""How long ranks that are all ready may take to reach each other."""
LEAST_PATIENCE = 60.0
LONGEST_ROUNDS = 10
PREPARING_PATIENCE = 3600.0
"""How long ranks may prepare: read a model from a slow disk, tokenize a long text."""

_WORD = 4
_TICK = 0.1
# A process that was suspended, and its machine, count one tick.
_LONGEST_TICK = 1.0


class LinkLost(Exception):
    """Another rank is gone; MLX says so, and not which."""


class RankGroup:
    """The ranks of a run, this process among them.

    Attributes:
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
        with _bounded():
            try:
                self._group = mx.distributed.init(strict=True, backend=name)
            except (RuntimeError, ValueError) as error:
                raise QfidError(
                    f"the ranks do not reach each other: {error}",
                    "see that their addresses are right and that no firewall is between them",
                ) from error
        self.backend = backend
        self.rank = int(self._group.rank())
        self.size = int(self._group.size())
        self.gathered = self.exchanges = 0
        self.coming: Callable[[int], object] = _nothing
        self.watch = ExchangeWatch()

    def exchange(self, message: bytes) -> list[bytes]:
        """Give a message, and get those of all ranks in their order.

        Raises:
            LinkLost: A rank is gone.
        """
        import mlx.core as mx
        import numpy as np

        self.exchanges += 1
        self.coming(self.exchanges)
        with self.watch.waiting():
            try:
                gather = mx.distributed.all_gather
                own = mx.array(np.array([len(message)], np.int32))
                sizes = np.array(gather(own, group=self._group)).tolist()
                # Words, which every backend gathers; all of one length.
                words = -(-max(sizes) // _WORD)
                if not words:
                    return [b""] * self.size
                padded = np.zeros(words, np.int32)
                padded.view(np.uint8)[: len(message)] = np.frombuffer(message, np.uint8)
                found = np.array(gather(mx.array(padded), group=self._group))
            except RuntimeError as error:
                raise LinkLost(str(error)) from error
        self.gathered += sum(sizes)
        rows = found.view(np.uint8).reshape(self.size, words * _WORD)
        return [row[:size].tobytes() for row, size in zip(rows, sizes, strict=True)]


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


def backend_for(kind: DeviceKind, wanted: str) -> str:
    """The backend of a device: what was asked for, else NCCL on CUDA, else the ring."""
    return wanted or (NCCL if kind == "cuda" else RING)


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
