"""Texts that a terminal might obey or fail on, and the check that a screen draws none as such."""

from __future__ import annotations

import re

from hypothesis import strategies as st
from side_screen_app import Below

FRAGMENTS = [
    *("[", "]", "[/]", "[/x]", "[b]", "[red", "[@click=app.quit]", "\\[", "[link='", "$text"),
    *("\x00", "\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\r", "\n", "\t", "\x7f", "\b"),
    *("\ud800", "\udfff", "\u202e", "\u2066", "\u200b", "\ufeff", "\U000e0041", "\u0301" * 40),
    *("模型", "🧮", "👩‍👩‍👧", "ﷺ", "a" * 3000, "/", "..", "`", "|", " "),
]
_pieces = st.sampled_from(FRAGMENTS) | st.text(st.characters(categories=None), max_size=8)
nasty = st.lists(_pieces, max_size=8).map("".join)


def all_fragments(texts: int, first: int = 0) -> list[str]:
    """So many texts that hold every fragment between them; ``first`` turns them round."""
    turned = FRAGMENTS[first:] + FRAGMENTS[:first]
    return ["".join(turned[i::texts]) for i in range(texts)]


# What a terminal obeys, or what no encoding accepts.
_ACTS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f\ud800-\udfff]")


def drawn(app: Below) -> list[str]:
    """The lines of the screen on top as they go to the terminal."""
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip) for strip in strips]


def assert_inert(app: Below) -> None:
    for line in drawn(app):
        assert not _ACTS.search(line), ascii(line)
        line.encode()
