from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.common.inert_text import inert

ANY_TEXT = st.text(st.characters(codec=None), max_size=40)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain Ünïcödé 漢字 👍", "plain Ünïcödé 漢字 👍"),
        ("a\nb\tc\rd", "a␊b␉c␍d"),
        ("\x1b[31mred\x1b]0;title\x07", "␛[31mred␛]0;title␇"),
        ("nul\x00del\x7f", "nul␀del␡"),
        ("c1 \x9b31m \x85", "c1 ‹U+009B›31m ‹U+0085›"),
        ("\u202egnp.exe\u202c", "‹U+202E›gnp.exe‹U+202C›"),
        ("a\u2066b\u2069", "a‹U+2066›b‹U+2069›"),
        ("zero\u200bwidth\ufeff", "zero‹U+200B›width‹U+FEFF›"),
        ("line\u2028para\u2029", "line‹U+2028›para‹U+2029›"),
        ("tag\U000e0041", "tag‹U+E0041›"),
        ("byte\udcff", "byte‹U+DCFF›"),
        ("\u200dkept\u200c", "\u200dkept\u200c"),
        ("", ""),
    ],
)
def test_what_acts_is_shown(text: str, shown: str) -> None:
    assert inert(text) == shown


@given(ANY_TEXT)
def test_result_is_one_quiet_line(text: str) -> None:
    shown = inert(text)
    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in shown)
    assert not any(unicodedata.bidirectional(c) in _BIDI_CONTROLS for c in shown)
    shown.encode()


@given(ANY_TEXT)
def test_a_second_call_changes_nothing(text: str) -> None:
    assert inert(inert(text)) == inert(text)


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=40))
def test_letters_numbers_and_signs_stay(text: str) -> None:
    assert inert(text) == text


_BIDI_CONTROLS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
