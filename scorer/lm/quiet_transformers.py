"""What transformers logs below an error, hidden where a model or a tokenizer is loaded."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from scorer.common.loans import GiveBack, Loan, lend_environment, set_here

_LIBRARY = "transformers"
_LOGGING = "transformers.utils.logging"
_quiet: ContextVar[bool] = ContextVar("qfid_quiet_transformers", default=False)


class _QuietHere(logging.Filter):
    """Passes on errors, and all that other threads log."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR or not _quiet.get()


def _take() -> GiveBack:
    # The loggers of its modules have no handlers: all records come to those of the library.
    handlers = list(logging.getLogger(_LIBRARY).handlers)
    only_errors = _QuietHere()
    for handler in handlers:
        handler.addFilter(only_errors)

    def give_back() -> None:
        for handler in handlers:
            handler.removeFilter(only_errors)

    return give_back


_in_place = Loan(_take)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Hide what transformers logs in this thread inside the block; errors are shown."""
    with _in_place, set_here(_quiet, True):
        yield


def _take_first_import() -> GiveBack:
    imported = _LOGGING in sys.modules

    def give_back() -> None:
        if not imported and _LOGGING in sys.modules:
            logging.getLogger(_LIBRARY).setLevel(_level_of_user())

    return give_back


# Its logger takes its level from the environment, and speaks while it is imported. mlx-lm sets the
# other variable.
_environment = lend_environment(
    lambda: {"TRANSFORMERS_VERBOSITY": "error"}, ("TRANSFORMERS_NO_ADVISORY_WARNINGS",)
)
_first_import = Loan(_take_first_import)


@contextmanager
def quiet_first_import() -> Iterator[None]:
    """Let transformers log errors alone while it is imported in the block.

    Afterwards its logger has the level that it would have if the program around us had imported it.
    """
    with _first_import, _environment:
        yield


def _level_of_user() -> int:
    """The level that transformers takes from the environment as the user has set it."""
    library = sys.modules[_LOGGING]
    level = getattr(library, "_get_default_logging_level", lambda: logging.WARNING)()
    return int(level)
