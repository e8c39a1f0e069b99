"""The errors that users see, each with a hint and the exit code of the command.

QfidError                  1  internal error
├── InputError             2  the request cannot be scored; nothing was started
│   ├── ModelNotCached     2  the repo is not in the local Hugging Face cache
│   ├── CorpusNotCached    2  the corpus is neither cached nor reachable
│   ├── OtherConditions    2  the saved run was scored under other conditions
│   └── CustomCodeRefused  2  the model would run Python code that was not allowed
├── WillNotFit             3  too little memory, before or during the run
├── ModelChanged           1  files of the model were changed while it was scored
├── RankLost               1  a process that shares the run is gone, or hangs
├── SettingFailed          1  one setting gave no usable number; the others continue
└── Interrupted          130  the user stopped the run; what was scored is saved

Two more exit codes are no errors but answers: 4, a bound is not kept (``--fail-under``, ``qfid
diff``), and 5, the text scored settles neither that nor the contrary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class QfidError(Exception):
    """Base class of the errors that are shown without a traceback.

    Attributes:
        message: What went wrong and with which input, in one sentence.
        hint: What to do next, or an empty string.
        exit_code: Process exit code of a command that ends with this error.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class InputError(QfidError):
    """The input cannot be scored; raised before any scoring starts."""

    exit_code = 2


class ModelNotCached(InputError):
    """The repo is not in the local Hugging Face cache.

    Attributes:
        repo: The repo id that was asked for.
        revision: The revision that was asked for, or None for the default.
    """

    def __init__(self, message: str, hint: str, repo: str, revision: str | None) -> None:
        super().__init__(message, hint)
        self.repo = repo
        self.revision = revision


class CorpusNotCached(InputError):
    """The corpus is not in the local cache and could not be fetched."""


class OtherConditions(InputError):
    """A saved run cannot go on: what its numbers depend on is not what it was."""


class CustomCodeRefused(InputError):
    """The model would run Python files of its own, and the user did not allow them as they are.

    Attributes:
        files: Name of each file to its SHA-256, hexadecimal.
    """

    def __init__(self, message: str, hint: str, files: Mapping[str, str]) -> None:
        super().__init__(message, hint)
        self.files = dict(files)


class WillNotFit(QfidError):
    """The run needs more memory than there is."""

    exit_code = 3


class ModelChanged(QfidError):
    """Files of the model were changed while it was scored; the run cannot go on with them."""


class RankLost(QfidError):
    """A rank of the run died, hung or lost its link; what was gathered is saved."""


class SettingFailed(QfidError):
    """One setting failed while scoring; names setting, chunk and position where known.

    Attributes:
        reports: From ``measure_kv_fidelity``: setting in notation to its
            :class:`~scorer.report.setting_report.SettingReport`, of the settings that were scored.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.reports: Mapping[str, Any] = {}


class Interrupted(QfidError):
    """The run was stopped by the user."""

    exit_code = 130
