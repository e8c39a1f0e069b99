"""Foreign text made ready to be drawn: harmless, never markup, and not longer than one can read."""

from __future__ import annotations

from textual.content import Content

from scorer.common.inert_text import inert


def shown(text: str, limit: int = 400) -> Content:
    """Text from outside as content that no markup parser sees.

    Args:
        text: Any string.
        limit: Characters of ``text`` to keep; how many are left out is said.
    """
    left_out = len(text) - limit
    if left_out <= 0:
        return Content(inert(text))
    return Content(f"{inert(text[:limit])}… ({left_out} more characters)")


TONES = {
    "plain": "$foreground",
    "strong": "$foreground bold",
    # $text-muted is white or black here: a text in parts has no background to mix it with.
    "muted": "$foreground 60%",
    "good": "$text-success bold",
    "marginal": "$text-warning bold",
    "bad": "$text-error bold",
}
"""Tones of a line of text to styles of the theme."""
