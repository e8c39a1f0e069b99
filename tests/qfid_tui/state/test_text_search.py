"""A search finds the tokens in which words begin, as they are drawn and across tokens."""

from __future__ import annotations

from drawn_tokens import drawn

from qfid_tui.pictures.token_glyphs import inert_text
from qfid_tui.state.text_search import TextSearch


def found(tokens: list[bytes], words: str, breaks: tuple[int, ...] = ()) -> tuple[int, ...]:
    return TextSearch(drawn(tokens), breaks).find(words)


def test_words_are_found_across_tokens_without_regard_to_case() -> None:
    tokens = [b"The", b" ri", b"ver", b" rose", b"; the", b" RIVER", b" fell"]
    assert found(tokens, "river") == (1, 5)
    assert found(tokens, "River rose") == (1,)
    assert found(tokens, "e") == (0, 2, 3, 4, 5, 6)
    assert found(tokens, "THE") == (0, 4)
    assert found(tokens, "flood") == found(tokens, "") == ()


def test_matches_in_one_token_count_once_and_do_not_overlap() -> None:
    assert found([b"aaaa", b"a"], "aa") == (0,)
    assert found([b"a", b"a", b"a", b"a"], "aa") == (0, 2)


def test_a_character_of_several_tokens_is_found_with_its_neighbours() -> None:
    tokens = [b"na", b"\xc3", b"\xaf", b"ve"]
    assert found(tokens, "naïve") == (0,)
    assert found(tokens, "ïve") == (1,)
    assert found([b"cafe\xcc\x81"], "café") == (0,)


def test_nothing_is_found_across_a_gap_in_the_text() -> None:
    tokens = [b"old", b" man", b" river"]
    assert found(tokens, "man river") == (1,)
    assert found(tokens, "man river", (2,)) == ()
    assert found(tokens, "river", (2,)) == (2,)


def test_what_is_drawn_for_a_control_character_can_be_searched() -> None:
    assert found([b"a\n", b"\x1b", b"b"], "⏎") == (0,)
    assert found([b"a", b"\x1b", b"b"], inert_text(b"\x1b")) == (1,)
