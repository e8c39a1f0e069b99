"""Tokens of any bytes, as Hypothesis strategies, and their glyphs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from qfid_tui.pictures.token_glyphs import TokenGlyphs, glyphs_of_tokens

characters = st.sampled_from(
    [
        *"aé中🎉Я ",
        *("\n", "\t", "\r", "\x00", "\x1b", "\x9b", "\u0301", "\u200b", "\u200c", "\u200d"),
        *("\ufe0f", "\U0001f3fd", "\u202e", "\u3000", "\ufffd", "\u1160", "🇩", "\U0010ffff"),
    ]
)
texts = st.lists(characters | st.characters(exclude_categories=["Cs"]), max_size=12).map("".join)


@st.composite
def cut_texts(draw: st.DrawFn) -> list[bytes]:
    """A text in UTF-8, cut into tokens anywhere."""
    data = draw(texts).encode()
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(data) - 1)), max_size=len(data))))
    ends = [0, *cuts, len(data)]
    return [data[a:b] for a, b in pairwise(ends) if data[a:b]]


tokens_of_bytes = st.lists(st.binary(min_size=1, max_size=5), max_size=12) | cut_texts()


def drawn(tokens: list[bytes], joined: list[bool] | None = None) -> TokenGlyphs:
    numbers = {data: i for i, data in enumerate(dict.fromkeys(tokens))}
    ids = np.array([numbers[data] for data in tokens], np.int32)
    follows = np.array(joined if joined is not None else [True] * len(tokens), np.bool_)
    return glyphs_of_tokens(ids, {i: data for data, i in numbers.items()}, follows)
