"""Work of MLX on the CPU done by several threads at once, each on a stream of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from scorer.device.streams import lent_cpu_stream

_Item = TypeVar("_Item")


def each_in_threads(work: Callable[[_Item], None], items: Sequence[_Item], threads: int) -> None:
    """Call ``work`` on every item; the order is undefined.

    What it takes of MLX is evaluated before, and what it leaves is evaluated in it: a thread cannot
    compute what another has begun.

    Args:
        work: Function of an item; it stores its own results.
        items: The items.
        threads: How many at once; with one, the calling thread does all on the stream it has.

    Raises:
        BaseException: That of the first item, in their order, that has one; what comes after it may
            be done or not.
    """
    threads = min(threads, len(items))
    if threads < 2:
        for item in items:
            work(item)
        return
    # next() on the iterator of a list is atomic under the interpreter lock.
    left = iter(list(enumerate(items)))
    errors: dict[int, BaseException] = {}

    def run() -> None:
        with lent_cpu_stream():
            for number, item in left:
                try:
                    work(item)
                except BaseException as error:
                    errors[number] = error
                if errors:
                    return

    started = [
        threading.Thread(target=run, name="qfid-weights", daemon=True) for _ in range(threads)
    ]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    if errors:
        raise errors[min(errors)]
