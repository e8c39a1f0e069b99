"""Numbers and foreign text as inline Markdown, and tables that line up in a terminal too.

Pure standard library.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from scorer.common.inert_text import inert

if TYPE_CHECKING:
    from scorer.stats.intervals import Interval

ABSENT = "—"
ROUGHLY = "≈"
# What can start something inside a line. An underscore inside a word, a lone ampersand and
# brackets without an opening one start nothing, and escaping them would only show in the source.
_ACTIVE = re.compile(r"[\\`*\[<|~$]|(?<!\w)_|_(?!\w)|&(?=#?\w+;)|:(?=//)")


def text(value: object) -> str:
    """Foreign text in the middle of a line that Markdown shows as it is.

    On one line, every character escaped that would act there, and no other.
    """
    return _ACTIVE.sub(lambda match: "\\" + match[0], inert(str(value)))


def code(value: object) -> str:
    """Foreign text as a code span that it cannot end, one line, safe in a table cell too.

    A pipe would end the cell even inside a code span, and escaping it there would show the
    backslash outside a table: the look-alike U+2502 takes its place.
    """
    shown = inert(str(value)).replace("|", "│")
    if not shown.strip():
        return ABSENT
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest or shown[0] == " " or shown[-1] == " " else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def prose(sentence: str, names: Mapping[str, str] | None = None) -> str:
    """A sentence of ours with values in backticks: the values as code spans, the rest as text.

    Text whose backticks do not pair is foreign through and through.

    Args:
        sentence: The sentence.
        names: What stands instead of a value.
    """
    names = names or {}
    parts = inert(sentence).split("`")
    if len(parts) % 2 == 0:
        return text(sentence)
    return "".join(
        (code(names.get(part, part)) if part else "") if i % 2 else text(part)
        for i, part in enumerate(parts)
    )


def shell_block(*commands: object) -> list[str]:
    """Command lines in a fence that they cannot end.

    Ours are written inert already; that of a stored report may have been edited.
    """
    shown = [inert(str(command)) for command in commands]
    runs = (len(run) for line in shown for run in re.findall("`+", line))
    fence = "`" * max(3, 1 + max(runs, default=0))
    return [f"{fence}sh", *shown, fence]


def plural(n: int, noun: str) -> str:
    """``1 chunk``, ``1 530 positions``."""
    return f"{count(n)} {noun}{'' if n == 1 else 's'}"


def _number(value: float | None) -> float | None:
    """A number as a float; None for an undefined one."""
    if value is None or math.isnan(value):
        return None
    return float(value)


def _typeset(shown: str) -> str:
    """With a minus sign in front where one is due; an exponent stays as programs read it."""
    if shown.startswith("-"):
        shown = "−" + shown[1:]
    return shown.replace("inf", "∞")


def digits(value: float | None, *, sign: bool = False, significant: int = 4) -> str:
    """So many significant digits, plain between 0.0001 and 10 000; ``—`` where undefined."""
    found = _number(value)
    if found is None:
        return ABSENT
    return _typeset(f"{found:{'+' if sign else ''}.{significant}g}")


def percent(share: float | None, *, sign: bool = False, significant: int = 4) -> str:
    """A share from 0 to 1 as percent."""
    found = _number(share)
    if found is None:
        return ABSENT
    value = 100 * found
    if abs(value) < 1e6:
        # All digits before the point: `100 %`, not `1e+02 %`.
        significant = max(significant, len(f"{abs(value):.0f}"))
    return f"{digits(value, sign=sign, significant=significant)} %"


def with_margin(value: float | None, ends: Interval | None, *, scale: float = 1.0) -> str:
    """``0.122 ± 0.031``, or ``1.08 (0.80–1.46)`` where the interval is not symmetric.

    The value is given to the place of the second digit of half the width.

    Args:
        value: Point estimate.
        ends: Both ends of its interval, or None for none.
        scale: Factor on both, 100 for percent.
    """
    found = _number(value)
    if found is None or ends is None or not math.isfinite(found):
        return digits(None if found is None else scale * found)
    half = scale * (ends.high - ends.low) / 2
    if not 0 < half < math.inf:
        return digits(scale * found)
    places = 1 - math.floor(math.log10(half))
    fixed = 0 <= places <= 7
    if is_symmetric(found, ends):
        if not fixed:
            return f"{digits(scale * found)} ± {digits(half, significant=2)}"
        return _typeset(f"{scale * found:.{places}f} ± {half:.{places}f}")
    low, high = scale * ends.low, scale * ends.high
    if not fixed:
        shown = digits(low, significant=2), digits(high, significant=2)
        return f"{digits(scale * found)} ({shown[0]}–{shown[1]})"
    # An end at 0 is there because nothing can be below it.
    least = "0" if low <= 0 else f"{low:.{places}f}"
    return _typeset(f"{scale * found:.{places}f} ({least}–{high:.{places}f})")


def is_symmetric(value: float, ends: Interval) -> bool:
    """Whether an interval reaches as far below its value as above, but for rounding."""
    above, below = ends.high - value, value - ends.low
    return math.isclose(above, below, rel_tol=1e-6)


def interval(
    ends: Interval | None, *, scale: float = 1.0, sign: bool = False, significant: int = 4
) -> str:
    """Both ends of an interval, ``0.11 … 0.12``; ``—`` where there is none."""
    if ends is None:
        return ABSENT
    low, high = (
        digits(scale * end, sign=sign, significant=significant) for end in (ends.low, ends.high)
    )
    return f"{low} … {high}"


def count(value: float | None) -> str:
    """A whole or fractional count, thousands set apart by thin spaces."""
    found = _number(value)
    if found is None:
        return ABSENT
    if not math.isfinite(found):
        return digits(found)
    shown = f"{found:,.0f}" if found == int(found) else f"{found:,.1f}"
    return _typeset(shown.replace(",", "\u202f"))


def bytes_of(value: float | None) -> str:
    """Bytes in the largest binary unit that leaves at least 1."""
    found = _number(value)
    if found is None:
        return ABSENT
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(found) < 1024:
            return f"{digits(found)} {unit}"
        found /= 1024
    return f"{digits(found)} TiB"


def columns(shown: str) -> int:
    """Columns of a terminal that text takes: two for wide characters, none for marks.

    Source: Unicode Standard Annex 11, East Asian Width.
    """
    return sum(
        0
        if unicodedata.category(character) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(character) in "WF"
        else 1
        for character in shown
    )


# A code span, which is left as it is; or a character of a number, see ``plain_numbers``.
_OF_NUMBERS = re.compile(
    r"(`+).+?\1(?!`)|(?<=\d)\u202f(?=\d)|\u2212(?=[\d.\u221e])|(?<=\d)\u2013(?=\d)|\u221e"
)
_PLAIN = {"\u202f": "", "\u2212": "-", "\u2013": "-", "\u221e": "inf"}


def plain_numbers(cell: str) -> str:
    """A cell with its numbers as programs read them: nothing but ASCII, no thousands set apart.

    In sentences numbers are typeset for people. A table is copied into spreadsheets and scripts.
    """
    return _OF_NUMBERS.sub(lambda match: _PLAIN.get(match[0], match[0]), cell)


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, left: Sequence[int] = (0,)
) -> list[str]:
    """Lines of a Markdown table, its columns padded so that the source lines up as well.

    Args:
        head: Names of the columns.
        rows: Cells, Markdown already; their numbers become plain ones.
        left: Indices of the columns of text; the others are numbers and end flush.
    """
    cells = [list(head), *(list(map(plain_numbers, row)) for row in rows)]
    widths = [max(3, *(columns(row[i]) for row in cells)) for i in range(len(head))]

    def line(row: list[str]) -> str:
        padded = []
        for i, (cell, width) in enumerate(zip(row, widths, strict=True)):
            gap = " " * (width - columns(cell))
            padded.append(cell + gap if i in left else gap + cell)
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * (width + 2) if i in left else "-" * (width + 1) + ":"
        for i, width in enumerate(widths)
    ]
    return [line(cells[0]), f"|{'|'.join(rule)}|", *map(line, cells[1:])]
