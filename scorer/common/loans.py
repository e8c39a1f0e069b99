"""State of the whole process that a run needs otherwise, lent to it and then given back.

A run may take place inside another program, in several threads at once, and within itself. What it
changes of the process (a function of a library, an environment variable, a limit, a stream) is
changed by a :class:`Loan` and by nothing else. Where only the threads that score may notice the
change, what is put in place asks a context variable which thread it is called in.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

_T = TypeVar("_T")

GiveBack = Callable[[], None]
"""Puts back what was changed."""


class Loan(AbstractContextManager[None]):
    """A change of the whole process that lasts as long as anyone needs it.

    The first to enter makes the change, in whichever thread; the last to leave takes it back.

    Args:
        take: Makes the change and returns what takes it back. If it raises, nothing is changed.
    """

    def __init__(self, take: Callable[[], GiveBack]) -> None:
        self._take = take
        self._lock = threading.RLock()
        self._users = 0
        self._give_back: GiveBack | None = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._users:
                self._give_back = self._take()
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users and self._give_back is not None:
                give_back, self._give_back = self._give_back, None
                give_back()


@contextmanager
def set_here(variable: ContextVar[_T], value: _T) -> Iterator[None]:
    """Give a context variable a value in this thread, inside the block."""
    before = variable.set(value)
    try:
        yield
    finally:
        variable.reset(before)


def replace_attribute(owner: Any, name: str, value: Any) -> GiveBack:
    """Set an attribute; what is returned sets the former one, unless it was set again meanwhile."""
    before = getattr(owner, name)
    setattr(owner, name, value)

    def give_back() -> None:
        if getattr(owner, name, None) is value:
            setattr(owner, name, before)

    return give_back


def lend_environment(
    values: Callable[[], Mapping[str, str]], also_kept: tuple[str, ...] = ()
) -> Loan:
    """Lend variables of the environment that the user has not set.

    Args:
        values: Returns the variables and their values. A variable that is set keeps its value.
        also_kept: Variables that a library sets meanwhile, to be given back as well.
    """

    def take() -> GiveBack:
        ours = {name: value for name, value in values().items() if name not in os.environ}
        others = [name for name in also_kept if name not in os.environ]
        os.environ.update(ours)

        def give_back() -> None:
            for name, value in ours.items():
                # Another value is one that the program around us has set meanwhile.
                if os.environ.get(name) == value:
                    del os.environ[name]
            for name in others:
                os.environ.pop(name, None)

        return give_back

    return Loan(take)
