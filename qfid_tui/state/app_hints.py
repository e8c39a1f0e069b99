"""Hints of the scorer in the words of the app: keys take the place of options and commands.

Pure standard library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from qfid_tui.state.run_options import OPTIONS
from scorer.common.errors import QfidError

_LABELS = {option.field: option.label for option in OPTIONS}
# The first that matches a part of a hint replaces it. Keys in braces stand for the user's own.
_RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # A command that scores what was asked for in another way: in the app, ticks do that.
        (r"; for instance `qfid kv [^`]*`", ""),
        (r"; --force [^;]*", ""),
        (r"leave --[a-z-]+ and `[^`]*` out; `qfid weights` scores it", "untick it"),
        (r"a shorter --context, or more --memory", "a shorter context, or more memory"),
        (r", or give --force to load all of them together", ""),
        (r"--batch 1 or shorter chunks", "shorter chunks ({o})"),
        (r" \(--chunk-length\)", " ({o})"),
        (r"--chunk-length ([0-9]+)", _LABELS["chunk_length"] + r" \1 ({o})"),
        (r"--corpus builtin", _LABELS["corpus"] + " built-in ({o})"),
        (r"give it again: `qfid kv` with --corpus - starts a new run", "name a file of text ({o})"),
        (r"--corpus - reads standard input", "name a file of text ({o})"),
        (r"leave out --ranks, or", "choose 1 of the " + _LABELS["ranks"] + " ({o}), or"),
        (r"--ranks takes ", ""),
        (r"--ranks ([0-9]+)", _LABELS["ranks"] + r" \1 ({o})"),
        (r"--noise-floor", _LABELS["noise_floor"] + " ({o})"),
        (r"--quantize-start", _LABELS["start"] + " ({o})"),
        (r"--path dequantized", _LABELS["path"] + " dequantized ({o})"),
        (r"give --revision with one of", "start `qfid MODEL --revision` with one of"),
        (r"leave out --one-at-a-time or --until-settled", "switch off --until-settled"),
        (r"leave out --until-settled, or", "switch off --until-settled, or"),
        (r"leave out --chunks, or give --chunks \S+", "choose a random order ({o})"),
        (r"`qfid kv` with --until-settled starts another", "--until-settled starts another run"),
        (r"--until-settled", _LABELS["until_settled"] + " ({o})"),
        (r"leave out --revision", "start qfid without --revision"),
        (
            r"score anew with `qfid kv`, or mix the two with --accept-changes",
            "another option ({o}) scores anew; `qfid resume --accept-changes` mixes the two",
        ),
        (
            r"score it in a run of its own with `qfid kv`",
            "another option ({o}) scores it in a run of its own",
        ),
        (r"`qfid resume ([^` ]+)` goes on with it", r"{t} lists \1, to go on with it"),
        (
            r"score (?:it|them)(?: again)? with `qfid resume ([^` ]+)`",
            r"{t} lists \1, to go on with it",
        ),
        (r"score it again with `qfid kv` once", "{r} scores it again once"),
        (r"score (?:it )?anew with `qfid kv`", "another option ({o}) scores anew"),
        (r"`qfid report ([^` ]+)` prints what it holds", r"{t} lists \1 and shows what it holds"),
        (r"`qfid models` lists", "{m} lists"),
        (r"`qfid kv demo` makes one", "{r} makes one"),
    )
)


def in_app(hint: str, names: Mapping[str, str] | None = None) -> str:
    """A hint that works in the app.

    Args:
        hint: A hint of the scorer, which may name options and commands of the command line.
        names: Default keys to the user's own keys.
    """
    names = names or {}
    for pattern, replacement in _RULES:
        for key in "mort":
            replacement = replacement.replace("{" + key + "}", names.get(key, key))
        hint = pattern.sub(replacement, hint)
    return hint


def error_text(error: QfidError, names: Mapping[str, str] | None = None) -> str:
    """An error and its hint on one line.

    Args:
        error: The error.
        names: As of :func:`in_app`.
    """
    hint = in_app(error.hint, names)
    return f"{error.message}; {hint}" if hint else error.message
