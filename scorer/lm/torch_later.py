"""PyTorch not imported because it is installed: transformers would, and nothing here needs it.

Importing it takes five seconds. transformers imports it in modules that read configurations and
tokenizers, and most of them use it in functions that are never called here. It has no switch
against that.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scorer.common.loans import GiveBack, Loan

_NAME = "torch"


class _Later(types.ModuleType):
    """A module that is imported when one of its names is first asked for."""

    def __getattr__(self, name: str) -> Any:
        # `__path__` is asked for where a module inside it is imported.
        if sys.modules.get(_NAME) is self:
            del sys.modules[_NAME]
        return getattr(importlib.import_module(_NAME), name)


def _take() -> GiveBack:
    if _NAME in sys.modules:
        return lambda: None
    try:
        spec = importlib.util.find_spec(_NAME)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return lambda: None
    later = _Later(_NAME)
    # Where a library looks whether the package is there, it is.
    later.__spec__ = spec
    sys.modules[_NAME] = later

    def give_back() -> None:
        if sys.modules.get(_NAME) is later:
            del sys.modules[_NAME]

    return give_back


_in_place = Loan(_take)


@contextmanager
def torch_later() -> Iterator[None]:
    """Let ``import torch`` in the block import it only when it is used.

    What imports it in the block keeps a module that finds every name in the real one. Afterwards
    ``import torch`` imports it as ever.
    """
    with _in_place:
        yield


def without_torch() -> None:
    """Let this process be one where PyTorch is not installed, for good.

    Only for a process of our own, and not where a model's own Python runs, which may need it.
    """
    # So Python says that there is no such module, and finds no specification of it.
    if _NAME not in sys.modules:
        sys.modules[_NAME] = None  # type: ignore[assignment]
