"""Replaces control and invisible characters in text from models, tokens and titles.

Standard library only.
"""

from __future__ import annotations

import re

# Zero-width joiner and non-joiner stay: several scripts and most emoji sequences need them.
_ACTIVE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0 controls, delete, C1 controls
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional marks
    "\u00ad\u200b\u2028\u2029\u2060-\u2064\ufeff\ufff9-\ufffb"  # invisible or line-breaking
    "\U000e0000-\U000e007f"  # tags: invisible copies of ASCII
    "\ud800-\udfff"  # lone surrogates, which no encoding accepts
    "]"
)
_C0_PICTURES = 0x2400
_DELETE_PICTURE = "\u2421"


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(_C0_PICTURES + code)
    return _DELETE_PICTURE if code == 0x7F else f"‹U+{code:04X}›"


def inert(text: str) -> str:
    r"""Replace control, bidirectional and invisible characters by visible symbols.

    C0 controls become their control pictures (``\n`` is ``␊``, escape ``␛``); C1 controls,
    bidirectional and invisible marks and lone surrogates become ``‹U+202E›`` and the like. The
    result is one line and can be encoded as UTF-8. Calling the function twice changes nothing.

    Args:
        text: Any string, for example the name of a model, or a token.
    """
    return _ACTIVE.sub(_visible, text)


def shown(value: object) -> str:
    """Format a value from a file for a message: in backticks, printable, at most 48 characters."""
    import json

    try:
        text = value if isinstance(value, str) else json.dumps(value)
    except (ValueError, TypeError, RecursionError):
        text = type(value).__name__
    text = "".join(c if c.isprintable() and c != "`" else "?" for c in text[:48])
    return f"`{text}`" if len(text) < 48 else f"`{text[:47]}…`"
