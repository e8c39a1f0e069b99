"""Errors as JSON values, so that one process can raise what happened in another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scorer.common.errors import (
    CorpusNotCached,
    CustomCodeRefused,
    InputError,
    Interrupted,
    ModelChanged,
    ModelNotCached,
    OtherConditions,
    QfidError,
    RankLost,
    SettingFailed,
    WillNotFit,
)

_CLASSES: dict[str, type[QfidError]] = {
    cls.__name__: cls
    for cls in (
        CorpusNotCached,
        InputError,
        Interrupted,
        ModelChanged,
        OtherConditions,
        RankLost,
        SettingFailed,
        WillNotFit,
    )
}


def error_details(error: QfidError) -> dict[str, Any]:
    """Return what an error holds beside message and hint, as JSON values."""
    if isinstance(error, ModelNotCached):
        return {"repo": error.repo, "revision": error.revision}
    if isinstance(error, CustomCodeRefused):
        return {"files": error.files}
    return {}


def error_values(error: QfidError) -> dict[str, Any]:
    """Return an error as JSON values: ``error``, ``message``, ``hint``, ``exit_code``, ``details``.

    ``error`` is the name of its class.
    """
    return {
        "error": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "exit_code": error.exit_code,
        "details": error_details(error),
    }


def error_of(values: Mapping[str, Any]) -> QfidError:
    """Return the error that :func:`error_values` was given; QfidError for an unknown class."""
    name, message, hint = values["error"], values["message"], values["hint"]
    details = values["details"]
    if name == ModelNotCached.__name__:
        return ModelNotCached(message, hint, details["repo"], details["revision"])
    if name == CustomCodeRefused.__name__:
        return CustomCodeRefused(message, hint, details["files"])
    error = _CLASSES.get(name, QfidError)(message, hint)
    error.exit_code = values["exit_code"]
    return error
