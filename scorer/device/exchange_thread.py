"""A thread in which exchanges are waited for, while another one computes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue

Exchange = Callable[[bytes], list[bytes]]
"""Gives a message and waits for those of all ranks."""


class ExchangeThread:
    """Runs exchanges one after the other, in the order in which they are begun.

    MLX's collectives of a process have to come in the same order on all ranks, so no other thread
    may exchange anything meanwhile. The thread is not waited for where the process ends: nothing
    can end a collective whose other ranks do not come.

    Args:
        exchange: Called in the thread.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._waiting: SimpleQueue[tuple[bytes, Future[list[bytes]]]] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def begin(self, message: bytes) -> Future[list[bytes]]:
        """Begin an exchange; its result, or its error, comes later."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="qfid-exchanges", daemon=True)
            self._thread.start()
        future: Future[list[bytes]] = Future()
        self._waiting.put((message, future))
        return future

    def _run(self) -> None:
        while True:
            message, future = self._waiting.get()
            try:
                future.set_result(self._exchange(message))
            except BaseException as error:
                future.set_exception(error)
