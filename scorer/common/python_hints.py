"""Hints as they work in Python: options of the command line become parameters."""

from __future__ import annotations

import re

_RESUMES = re.compile(r"`qfid resume (\S+?)`")
_SCORES = "`qfid kv`"
# The Python interface has no parameter for the batch.
_BATCH = re.compile(r"with --batch 1 or ")
_SWITCH = re.compile(r"--(accept-changes|allow-custom-code|force|until-settled|one-at-a-time)\b")
_VALUE = re.compile(
    r"--(chunk-length|chunks|corpus|max-chunks|path|protocol|quantize-start|revision)"
    r"(?: (?=[\w./-]*\w)([\w./-]*\w))?"
)
_NUMBERS = ("chunk-length", "max-chunks", "quantize-start")
_WORDS = re.compile(r"below|needs|would|or|to|with|where")


def in_python(hint: str) -> str:
    """Return a hint of the command line for those who call :mod:`scorer.api`.

    Commands that have no counterpart there, such as ``qfid pull``, stay commands.

    Args:
        hint: One line.
    """
    hint = _RESUMES.sub(r"`resume_run('\1')`", hint).replace(_SCORES, "`measure_kv_fidelity`")
    hint = _BATCH.sub("with ", hint)
    # A command of a shell keeps its options.
    parts = re.split(r"(`[^`]*`|\bqfid [^,;]*)", hint)
    return "".join(part if index % 2 else _parameters(part) for index, part in enumerate(parts))


def _parameters(text: str) -> str:
    return _VALUE.sub(_value, _SWITCH.sub(lambda m: f"{_name(m[1])}=True", text))


def _name(option: str) -> str:
    return option.replace("-", "_")


def _value(match: re.Match[str]) -> str:
    option, value = match[1], match[2]
    if value is None:
        return _name(option)
    if _WORDS.fullmatch(value):
        return f"{_name(option)} {value}"
    written = value if option in _NUMBERS else repr(value)
    return f"{_name(option)}={written}"
