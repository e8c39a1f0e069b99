"""Amounts of memory and numbers of tokens: read, refused, written so that they read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.common.errors import InputError
from scorer.spec.amounts import (
    bytes_word,
    parse_bytes,
    parse_tokens,
    shown_bytes,
    tokens_word,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16GB", 16_000_000_000),
        ("940MB", 940_000_000),
        ("1.5GB", 1_500_000_000),
        ("8GiB", 8 << 30),
        ("512mib", 512 << 20),
        ("16 gb", 16_000_000_000),
        ("2.3GB", 2_300_000_000),
        ("2000000kB", 2_000_000_000),
        ("123456789", 123_456_789),
        ("1.0000000009GB", 1_000_000_000),
    ],
)
def test_an_amount_of_memory_is_read_exactly(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("16", "too little for any model: 16 bytes"),
        ("0GB", "too little"),
        ("16G", "`G` is not a unit of memory"),
        ("-3GB", "not an amount of memory"),
        ("1e3MB", "not an amount of memory"),
        ("", "not an amount of memory"),
        ("nanGB", "not an amount of memory"),
        ("\u0661GB", "not an amount of memory"),
        ("5000TB", "more memory than there is"),
        ("9" * 5000, "not an amount of memory"),
    ],
)
def test_what_is_no_amount_of_memory_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        parse_bytes(text, "--memory")
    assert "--memory" in caught.value.message
    assert "\n" not in caught.value.message
    assert "16GB" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "tokens"), [("32k", 32_768), ("128K", 131_072), ("4096", 4096), ("1.5k", 1536)]
)
def test_a_number_of_tokens_is_read(text: str, tokens: int) -> None:
    assert parse_tokens(text) == tokens


@pytest.mark.parametrize("text", ["0", "0k", "k", "1.5", "0.0001k", "32kk", "32 000", "-1", ""])
def test_what_is_no_number_of_tokens_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--context"):
        parse_tokens(text)


@given(st.integers(1_000_000, 10**15))
def test_an_amount_of_memory_reads_back(size: int) -> None:
    assert parse_bytes(bytes_word(size)) == size


@given(st.integers(1, 1 << 30))
def test_a_number_of_tokens_reads_back(tokens: int) -> None:
    assert parse_tokens(tokens_word(tokens)) == tokens


def test_the_word_has_the_unit_it_was_asked_in() -> None:
    assert [bytes_word(parse_bytes(word)) for word in ("16GB", "8GiB", "940MB", "512MiB")] == [
        "16GB",
        "8GiB",
        "940MB",
        "512MiB",
    ]
    assert tokens_word(32_768) == "32k"


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (23_040, "23.0 kB"),
        (5_340_000, "5.3 MB"),
        (9_996_000, "10 MB"),
        (940_000_000, "940 MB"),
        (999_600_000, "1.00 GB"),
        (16_000_000_000, "16.00 GB"),
        (640e9, "640 GB"),
    ],
)
def test_memory_is_shown_in_powers_of_1000(size: float, shown: str) -> None:
    assert shown_bytes(size) == shown
