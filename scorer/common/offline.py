"""Network access: forbidden by the user, or by the scorer for the libraries that it loads.

Libraries that load a model or a tokenizer check the Hub for newer files. The scorer forbids it to
them, but may still fetch a corpus on first use. In a process of our own that is done with the
environment variable that a user would set; in any process a thread can forbid it to itself alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from scorer.common.loans import GiveBack, Loan, replace_attribute, set_here

_VARIABLE = "HF_HUB_OFFLINE"
# A true value for every library, but not one that is documented for users. Child processes inherit
# it and can distinguish it from a value that the user has set.
_SET_BY_SCORER = "on"
_offline: ContextVar[bool | None] = ContextVar("qfid_offline", default=None)


class _OfflineHere:
    """Stands in for huggingface_hub's constant: true in the threads that are offline.

    Args:
        elsewhere: Whether the other threads are offline.
    """

    def __init__(self, elsewhere: bool) -> None:
        self._elsewhere = elsewhere

    def __bool__(self) -> bool:
        here = _offline.get()
        return bool(self._elsewhere) if here is None else here


def _take() -> GiveBack:
    from huggingface_hub import constants

    return replace_attribute(constants, _VARIABLE, _OfflineHere(constants.HF_HUB_OFFLINE))


_in_place = Loan(_take)


def forbid_to_libraries() -> None:
    """Forbid the network to the libraries of a process of our own; call it before any import."""
    os.environ.setdefault(_VARIABLE, _SET_BY_SCORER)


def forbidden_by_user() -> bool:
    """Return whether the user has set offline mode, by the rules of huggingface_hub."""
    own = os.environ.get(_VARIABLE)
    value = (None if own == _SET_BY_SCORER else own) or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in {"1", "ON", "YES", "TRUE"}


@contextmanager
def libraries_offline() -> Iterator[None]:
    """Forbid the network to huggingface_hub and transformers in this thread, inside the block."""
    with _set(offline=True):
        yield


@contextmanager
def allowed() -> Iterator[None]:
    """Allow this thread the network in the block, if only the scorer has forbidden it."""
    if os.environ.get(_VARIABLE) != _SET_BY_SCORER or forbidden_by_user():
        yield
        return
    with _set(offline=False):
        yield


@contextmanager
def _set(*, offline: bool) -> Iterator[None]:
    with _in_place, set_here(_offline, offline):
        yield
