"""Which escape sequences of a terminal are passed on to Textual, and in what form."""

from __future__ import annotations

import re

from textual import constants
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._keyboard_protocol import FUNCTIONAL_KEYS

# Textual takes numbers of any length from a terminal; no screen, character or mouse has such.
_MOUSE = re.compile(r"\x1b\[<\d{1,3};-?\d{1,5};-?\d{1,5}[Mm]")
_REPORT = re.compile(r"\x1b\[(?:\?\d{1,4};\d\$y|\d{1,4};\d{1,4}R|[IO])")
_RESIZE = re.compile(r"\x1b\[48;(\d{1,4})[:\d]*;(\d{1,4})[:\d]*;(\d{1,5})[:\d]*;(\d{1,5})[:\d]*t")
_KEY = re.compile(r"\x1b\[([\d:;]*)([u~A-FHPQRS])")
_MOST_LINES, _MOST_COLUMNS = 1000, 2000
_RELEASED = 3
_MODIFIERS = 1 << 8


def accepted(sequence: str) -> str | None:
    """What is passed on in the place of an escape sequence; None for nothing.

    Args:
        sequence: A whole sequence that begins with ``ESC [`` or ``ESC O``.
    """
    if sequence in ANSI_SEQUENCES_KEYS or _MOUSE.fullmatch(sequence) or _REPORT.fullmatch(sequence):
        return sequence
    if resize := _RESIZE.fullmatch(sequence):
        lines, columns, height, width = map(int, resize.groups())
        if 0 < lines <= _MOST_LINES and 0 < columns <= _MOST_COLUMNS:
            return f"\x1b[48;{lines};{columns};{height};{width}t"
        return None
    return None if constants.DISABLE_KITTY_KEY else _key(sequence)


def _key(sequence: str) -> str | None:
    """A key report of the kitty protocol without its sub-parameters; None if it is none.

    Terminals add the key of another layout to the first field and the kind of event to the second;
    Textual reads plain numbers there.
    """
    match = _KEY.fullmatch(sequence)
    if match is None:
        return None
    fields = [field.split(":") for field in match[1].split(";")]
    if not 1 <= len(fields) <= 3:
        return None
    code = _number(fields[0][0], 1)
    modifiers = _number(fields[1][0], 1) if len(fields) > 1 else None
    if code is None or not _is_key(code, match[2]):
        return None
    if len(fields) == 1:
        return f"\x1b[{code}{match[2]}"
    if modifiers is None or not 1 <= modifiers <= _MODIFIERS:
        return None
    if len(fields[1]) > 1 and _number(fields[1][1], 1) == _RELEASED:
        return None
    if len(fields) == 2 or fields[2] == [""]:
        return f"\x1b[{code};{modifiers}{match[2]}"
    texts = [_number(part, 0) for part in fields[2]]
    if not all(text is not None and _is_character(text) for text in texts):
        return None
    return f"\x1b[{code};{modifiers};{':'.join(map(str, texts))}{match[2]}"


def _number(digits: str, default: int) -> int | None:
    return default if not digits else int(digits) if len(digits) < 9 else None


def _is_key(code: int, end: str) -> bool:
    return f"{code}{end}" in FUNCTIONAL_KEYS or (end == "u" and _is_character(code))


def _is_character(code: int) -> bool:
    """Whether a code point is a character that can be typed."""
    if not 0x20 <= code <= 0x10FFFF or 0x7F <= code < 0xA0:
        return False
    return not 0xD800 <= code < 0xE000
