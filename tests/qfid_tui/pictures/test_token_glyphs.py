"""Whatever bytes tokens hold: each is drawn once, inert, whole where its character is known."""

from __future__ import annotations

import re

import numpy as np
import pytest
from drawn_tokens import cut_texts, drawn, tokens_of_bytes
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from qfid_tui.pictures.token_glyphs import (
    MISSING,
    NEWLINE,
    CharacterPart,
    TokenGlyphs,
    glyphs_of_tokens,
    inert_text,
)

_ACTS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b\u200e\u200f\ud800-\udfff]")


def texts_of(glyphs: TokenGlyphs) -> list[str]:
    return [glyphs.text(i) for i in range(len(glyphs.first) - 1)]


@given(tokens_of_bytes, st.data())
def test_every_token_is_drawn_once_and_measured_right(
    tokens: list[bytes], data: st.DataObject
) -> None:
    joined = data.draw(st.lists(st.booleans(), min_size=len(tokens), max_size=len(tokens)))
    glyphs = drawn(tokens, joined)
    n = len(glyphs.glyph)
    assert glyphs.first.tolist() == [
        int(np.searchsorted(glyphs.token, i)) for i in range(len(tokens) + 1)
    ]
    assert set(glyphs.token.tolist()) == set(range(len(tokens)))
    assert len(glyphs.kind) == n and len(glyphs.cells) == n + 1
    shown = [glyphs.texts[i] for i in glyphs.glyph]
    assert [cell_len(text) for text in shown] == np.diff(glyphs.cells).tolist()
    # Measured alone or side by side: the line is exactly as wide as its glyphs.
    assert cell_len("".join(shown)) == glyphs.cells[-1]
    assert not _ACTS.search("".join(shown))
    assert int((glyphs.kind == NEWLINE).sum()) == b"".join(tokens).count(b"\n")


@given(cut_texts())
def test_a_character_is_whole_wherever_its_bytes_are_cut(tokens: list[bytes]) -> None:
    text = b"".join(tokens).decode()
    glyphs = drawn(tokens)
    shown = "".join(texts_of(glyphs))
    for character in text:
        if character.isalpha() and cell_len(character):
            assert character in shown
    assert ("\ufffd" in shown) == ("\ufffd" in text)
    for parts in glyphs.parts.values():
        for part in parts:
            assert 1 <= part.number <= part.of <= len(part.character.encode())


@pytest.mark.parametrize(
    ("tokens", "shown"),
    [
        ([b" caf", b"\xc3", b"\xa9", b"s"], [" caf", "é", "₂", "s"]),
        ([b"\xf0", b"\x9f", b"\x8e", b"\x89"], ["🎉", "₂", "₃", "₄"]),
        ([b"a\xe4\xb8", b"\xad\xe6\x96", b"\x87b"], ["a中", "文", "b"]),
        ([b"x\xe4", b"y"], ["x‹E4›", "y"]),
        ([b"\xff", b"\x80"], ["‹FF›", "‹80›"]),
        ([b"\xed\xa0\x80"], ["‹ED›‹A0›‹80›"]),
        ([b"\n\n", b"\t", b"\r", b"\x1b[2J"], ["⏎⏎", "⇥", "␍", "␛[2J"]),
        ([b"e\xcc\x81", b"\xcc\x81"], ["e\u0301", "◌\u0301"]),
        ([b"\xef\xb8\x8f", b"\xe2\x80\x8d"], ["◌", "◌"]),
        (["❤\ufe0f".encode(), "👍🏽".encode()], ["❤", "👍◌"]),
    ],
)
def test_what_tokens_look_like(tokens: list[bytes], shown: list[str]) -> None:
    assert texts_of(drawn(tokens)) == shown


def test_parts_of_a_character_name_it_and_its_tokens() -> None:
    glyphs = drawn([b"a\xe4\xb8", b"\xad\xc3", b"\xa9", b"b"])
    assert glyphs.parts == {
        0: (CharacterPart("中", 1, 2),),
        1: (CharacterPart("中", 2, 2), CharacterPart("é", 1, 2)),
        2: (CharacterPart("é", 2, 2),),
    }


def test_nothing_is_joined_across_a_gap_in_the_text() -> None:
    assert texts_of(drawn([b"\xc3", b"\xa9"], [True, False])) == ["‹C3›", "‹A9›"]


def test_tokens_without_text_are_drawn_as_their_ids_and_missing_ones_as_a_dot() -> None:
    ids = np.array([7, MISSING, 12345, 3], np.int32)
    glyphs = glyphs_of_tokens(ids, {3: b"", 7: b"seven"}, np.ones(4, np.bool_))
    assert texts_of(glyphs) == ["seven", "·", " 12345", " 3"]


@given(st.binary(max_size=12))
def test_bytes_of_one_token_are_shown_on_one_inert_line(data: bytes) -> None:
    text = inert_text(data)
    assert not _ACTS.search(text)
    assert bool(text) == bool(data)
