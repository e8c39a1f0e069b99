"""Several texts and lengths: which there are, and whose turn it is.

The choices name the text and the length whose turn it is; the lists beside them name all. Pure
standard library.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from qfid_tui.state.text_names import text_name

if TYPE_CHECKING:
    from qfid_tui.state.choices import Choices

TextAtLength = tuple[str, int]
"""A text as a job names it, and the tokens of a chunk."""


def texts_of(choices: Choices) -> tuple[str, ...]:
    """The texts that are chosen; only one where the text of the turn is none of the list."""
    return choices.texts if choices.text in choices.texts else (choices.text,)


def lengths_of(choices: Choices) -> tuple[int, ...]:
    """The lengths that are chosen, likewise."""
    own = choices.chunk_length
    return choices.lengths if own in choices.lengths else (own,)


def turns(choices: Choices) -> list[TextAtLength]:
    """Every text at every length, texts first."""
    return [(text, length) for text in texts_of(choices) for length in lengths_of(choices)]


def turn(choices: Choices) -> TextAtLength:
    """The text and length whose turn it is."""
    return choices.text, choices.chunk_length


def at_turn(choices: Choices, wanted: TextAtLength) -> Choices:
    """The choices with another text and length in turn."""
    text, length = wanted
    return dataclasses.replace(choices, corpus=text, chunk_length=length)


def named(wanted: TextAtLength) -> str:
    """A text and length in words."""
    return f"{text_name(wanted[0])} × {wanted[1]}"
