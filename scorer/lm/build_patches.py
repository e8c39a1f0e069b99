"""Functions of mlx-lm that are replaced while a model is built, loaded or traced.

========================================================  ======================================
What is replaced                                          What takes its place
========================================================  ======================================
``glob`` of ``mlx_lm.utils``                              the weight files of that folder, sorted
``BaseModelArgs.from_dict``                               gives ``rope_parameters``, and records
``__call__`` of a class of modules                        returns what it is given
========================================================  ======================================

Each stands in place once for all threads, and does something else than the original only in the
threads that ask for it. See :mod:`scorer.lm.patches` for what is replaced while models are scored.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import mlx.nn as nn
from mlx_lm import utils as mlx_lm_utils
from mlx_lm.models import base as mlx_lm_base

from scorer.common.loans import GiveBack, Loan, replace_attribute, set_here
from scorer.lm.model_arguments import Arguments, recorded_arguments
from scorer.lm.patches import patched
from scorer.models.weight_files import weight_paths

_exact: ContextVar[bool] = ContextVar("qfid_exact_weight_paths", default=False)
_recorded: ContextVar[list[Arguments] | None] = ContextVar("qfid_arguments", default=None)
_over: ContextVar[frozenset[type]] = ContextVar("qfid_passed_over", default=frozenset())


class _Glob:
    """Stands in for the module ``glob``."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return _weights_of if name == "glob" and _exact.get() else getattr(self._module, name)


def _weights_of(pattern: str) -> list[str]:
    return [str(path) for path in weight_paths(Path(pattern).parent)]


def _take_glob() -> GiveBack:
    utils: Any = mlx_lm_utils
    return replace_attribute(utils, "glob", _Glob(utils.glob))


_glob_in_place = Loan(_take_glob)


@contextmanager
def exact_weight_paths() -> Iterator[None]:
    """Let mlx-lm load the weights of the folder it is given.

    It makes a pattern of the path: a folder ``g[1]`` would give the weights of ``g1``. And it
    takes the files in the order of the file system.
    """
    with _glob_in_place, set_here(_exact, True):
        yield


def _take_from_dict() -> GiveBack:
    base: Any = mlx_lm_base.BaseModelArgs
    original = base.__dict__["from_dict"]
    make = original.__func__

    def from_dict(cls: Any, params: Any) -> Any:
        found = _recorded.get()
        return make(cls, params) if found is None else recorded_arguments(make, cls, params, found)

    ours = classmethod(from_dict)
    base.from_dict = ours

    def give_back() -> None:
        if base.__dict__["from_dict"] is ours:
            base.from_dict = original

    return give_back


_from_dict_in_place = Loan(_take_from_dict)


@contextmanager
def arguments_recorded() -> Iterator[list[Arguments]]:
    """Record what mlx-lm's classes take of a config, and give them ``rope_parameters``.

    Yields:
        A list that grows with each object of arguments that this thread makes inside the block.
    """
    found: list[Arguments] = []
    with _from_dict_in_place, set_here(_recorded, found):
        yield found


_calls: dict[type, Loan] = {}
_calls_lock = threading.Lock()


@contextmanager
def passed_over(kind: type[nn.Module]) -> Iterator[None]:
    """Let modules of a class return their input in this thread, inside the block."""
    with _calls_lock:
        in_place = _calls.setdefault(kind, Loan(lambda: _take_call(kind)))
    # The call of a layer can be replaced for scoring too: always before, and put back after.
    with patched(), in_place, set_here(_over, _over.get() | {kind}):
        yield


def _take_call(kind: Any) -> GiveBack:
    inherited = "__call__" not in vars(kind)
    call = kind.__call__

    def passed(self: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        return x if kind in _over.get() else call(self, x, *args, **kwargs)

    kind.__call__ = passed

    def give_back() -> None:
        if vars(kind).get("__call__") is not passed:
            return
        if inherited:
            del kind.__call__
        else:
            kind.__call__ = call

    return give_back
