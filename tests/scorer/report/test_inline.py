"""Numbers, tables and foreign text as inline Markdown."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.report.formats.inline import (
    bytes_of,
    code,
    columns,
    count,
    digits,
    interval,
    percent,
    prose,
    table,
    text,
    with_margin,
)
from scorer.stats.intervals import Interval


@given(st.text(st.characters(codec=None), max_size=40))
def test_code_spans_cannot_be_left(value: str) -> None:
    shown = code(value)
    if shown == "—":
        assert not value.strip()
        return
    fence = re.match("`+", shown)
    assert fence is not None and shown.endswith(fence[0])
    inside = shown[len(fence[0]) : -len(fence[0])]
    assert len(fence[0]) not in {len(run) for run in re.findall("`+", inside)}
    assert "|" not in shown and "\n" not in shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("AMD EPYC (4 cores), 16-bit!", "AMD EPYC (4 cores), 16-bit!"),
        ("a_b and c_d_e, #3, x > y, R&D", "a_b and c_d_e, #3, x > y, R&D"),
        ("_it_ *b* `c` ~d~", "\\_it\\_ \\*b\\* \\`c\\` \\~d\\~"),
        ("[x](y) <img> &lt; a|b $1$", "\\[x](y) \\<img> \\&lt; a\\|b \\$1\\$"),
        ("http://x\\y", "http\\://x\\\\y"),
        ("two\nlines", "two␊lines"),
    ],
)
def test_only_what_acts_is_escaped(value: str, shown: str) -> None:
    assert text(value) == shown


def test_prose_shows_values_as_code() -> None:
    assert prose("model `a_b*` is (not) cached") == "model `a_b*` is (not) cached"
    assert prose("odd ` tick *x*") == "odd \\` tick \\*x\\*"
    assert prose("a `` b") == "a  b"


def test_numbers() -> None:
    assert digits(0.00034912) == "0.0003491"
    assert digits(-1.5, sign=True) == "−1.5"
    assert digits(3.5e-5) == "3.5e-05"
    assert digits(math.inf) == "∞"
    assert digits(-math.inf) == "−∞"
    assert digits(math.nan) == count(math.nan) == "—"
    assert digits(None) == percent(None) == interval(None) == count(None) == bytes_of(None) == "—"
    assert percent(0.01373) == "1.373 %"
    shown = [percent(share, significant=2) for share in (1.0, 0.999, 0.125, 2.5, 0.0012)]
    assert shown == ["100 %", "99.9 %", "12 %", "250 %", "0.12 %"]
    assert count(1234567) == "1\u202f234\u202f567"
    assert count(12.34) == "12.3"
    assert count(math.inf) == "∞"
    assert bytes_of(1023) == "1023 B"
    assert bytes_of(1536) == "1.5 KiB"
    assert bytes_of(5 << 40) == "5 TiB"
    assert interval(Interval(-0.5, 0.25), sign=True) == "−0.5 … +0.25"


@pytest.mark.parametrize(
    ("value", "half", "shown"),
    [
        (0.00040241, 9.01e-5, "0.000402 ± 0.000090"),
        (0.12217, 0.030554, "0.122 ± 0.031"),
        (0.5, 0.0, "0.5"),
        (123.4, 25.2, "123 ± 25"),
        (1234.0, 250.0, "1234 ± 2.5e+02"),
        (1e-9, 2e-10, "1e-09 ± 2e-10"),
    ],
)
def test_margin(value: float, half: float, shown: str) -> None:
    assert with_margin(value, Interval(value - half, value + half)) == shown
    assert with_margin(value, None) == digits(value)
    assert with_margin(math.inf, Interval(0, 1)) == "∞"


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (0.0108, 0.0080, 0.0146, "1.08 (0.80–1.46)"),
        (0.0, 0.0, 0.0146, "0.00 (0–1.46)"),
        (1.0, 0.7, 1.0, "100 (70–100)"),
        (-1e-9, -1e-9, 0.5, "0 (0–50)"),
        (1e-12, 0.0, 3e-12, "1e-10 (0–3e-10)"),
    ],
)
def test_an_asymmetric_interval(value: float, low: float, high: float, shown: str) -> None:
    found = with_margin(value, Interval(low, high), scale=100)
    assert found.replace("−", "") == shown


def test_margin_in_percent() -> None:
    assert with_margin(0.0137, Interval(0.0069, 0.0205), scale=100) == "1.37 ± 0.68"


def test_wide_characters_count_double() -> None:
    assert columns("漢字 a\u0301") == 6
    lines = table(("name", "n"), [("漢字", "1"), ("abc", "22")])
    assert lines == ["| name |   n |", "|------|----:|", "| 漢字 |   1 |", "| abc  |  22 |"]
