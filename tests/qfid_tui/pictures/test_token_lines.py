"""Lines of any width hold every token once, break where text may break, and find their tokens."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_tokens import drawn, tokens_of_bytes
from hypothesis import given
from hypothesis import strategies as st

from qfid_tui.pictures.token_glyphs import NEWLINE
from qfid_tui.pictures.token_lines import TEXT, Lines, wrap


def lines_of(tokens: list[bytes], width: int, chunks: list[int] | None = None) -> Lines:
    return wrap(drawn(tokens), width, np.array(chunks or [0]))


def shown(lines: Lines) -> list[str]:
    glyphs = lines.glyphs
    return [
        "".join(glyphs.texts[i] for i in glyphs.glyph[first:end]) if heading == TEXT else "#"
        for first, end, heading in zip(lines.first, lines.end, lines.heading, strict=True)
    ]


@given(tokens_of_bytes.filter(bool), st.integers(1, 30), st.data())
def test_lines_hold_every_glyph_once_and_fit(
    tokens: list[bytes], width: int, data: st.DataObject
) -> None:
    starts = data.draw(st.sets(st.integers(0, len(tokens) - 1), max_size=3)) | {0}
    lines = lines_of(tokens, width, sorted(starts))
    glyphs = lines.glyphs
    text = lines.heading == TEXT
    covered = [g for a, b in zip(lines.first, lines.end, strict=True) for g in range(a, b)]
    assert covered == list(range(len(glyphs.glyph)))
    assert lines.heading[~text].tolist() == list(range(len(starts)))
    assert [int(glyphs.token[g]) for g in lines.first[~text]] == sorted(starts)
    for first, end in zip(lines.first[text], lines.end[text], strict=True):
        cells = glyphs.cells[end] - glyphs.cells[first]
        assert end > first
        assert cells <= width or end == first + 1
        assert NEWLINE not in glyphs.kind[first : end - 1]


@given(tokens_of_bytes.filter(bool), st.integers(1, 30))
def test_a_token_is_found_at_each_of_its_cells(tokens: list[bytes], width: int) -> None:
    lines = lines_of(tokens, width)
    glyphs = lines.glyphs
    for token in range(len(tokens)):
        first, last = lines.of_token(token)
        assert lines.heading[first] == lines.heading[last] == TEXT
        assert lines.token_at(first, lines.column(token)) == token
        assert lines.token_at(last, 0) == token or last == first
    for line in range(len(lines)):
        for column in (-3, 0, width // 2, width + 50):
            token = lines.token_at(line, column)
            begin, end = lines.of_token(token)
            assert begin <= line <= end or lines.heading[line] != TEXT
        assert (
            lines.token_at(line, width + 50)
            == glyphs.token[max(lines.first[line], lines.end[line] - 1)]
        )


@pytest.mark.parametrize(
    ("tokens", "width", "expected"),
    [
        ([b"one", b" two", b" three"], 8, ["#", "one two", " three"]),
        ([b"one", b" two", b" three"], 7, ["#", "one two", " three"]),
        ([b"ab", b"cdefghij", b" k"], 4, ["#", "abcd", "efgh", "ij k"]),
        (["日本".encode(), "語".encode()], 5, ["#", "日本", "語"]),
        (["日".encode()], 1, ["#", "日"]),
        ([b"a\n", b"\nb"], 20, ["#", "a⏎", "⏎", "b"]),
        ([b"word", b"\n"], 4, ["#", "word", "⏎"]),
    ],
)
def test_where_lines_break(tokens: list[bytes], width: int, expected: list[str]) -> None:
    assert shown(lines_of(tokens, width)) == expected
