"""Numbers and foreign text as inline Markdown.

Pure standard library.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from scorer.inert import inert

ABSENT = "—"
_PUNCTUATION = re.compile(r"([\\`*_\[\]<>#|~&$])")


def text(value: object) -> str:
    """Foreign text that Markdown shows as it is: one line, every active character escaped."""
    return _PUNCTUATION.sub(r"\\\1", inert(str(value)))


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


def prose(sentence: str) -> str:
    """A sentence of ours with values in backticks: the values as code spans, the rest as text.

    Text whose backticks do not pair is foreign through and through.
    """
    parts = inert(sentence).split("`")
    if len(parts) % 2 == 0:
        return text(sentence)
    return "".join(
        (code(part) if part else "") if i % 2 else text(part) for i, part in enumerate(parts)
    )


def number(value: Any) -> float | None:
    """A number of a report; its words for infinities read back, None for an undefined one."""
    if value is None or isinstance(value, bool):
        return None
    return float(value)


def digits(value: Any, *, sign: bool = False, significant: int = 4) -> str:
    """So many significant digits, plain between 0.0001 and 10 000; ``—`` where undefined."""
    found = number(value)
    if found is None:
        return ABSENT
    shown = f"{found:{'+' if sign else ''}.{significant}g}"
    return shown.replace("inf", "∞").replace("-", "−")


def percent(share: Any, *, sign: bool = False) -> str:
    """A share from 0 to 1 as percent."""
    found = number(share)
    return ABSENT if found is None else f"{digits(100 * found, sign=sign)} %"


def interval(ends: Any, *, scale: float = 1.0, sign: bool = False, significant: int = 4) -> str:
    """Both ends of an interval, ``0.11 … 0.12``; ``—`` where there is none."""
    if ends is None:
        return ABSENT
    low, high = (
        digits(scale * float(ends[end]), sign=sign, significant=significant)
        for end in ("low", "high")
    )
    return f"{low} … {high}"


def count(value: Any) -> str:
    """A whole or fractional count, thousands set apart by thin spaces."""
    found = number(value)
    if found is None:
        return ABSENT
    shown = f"{found:,.0f}" if found == int(found) else f"{found:,.1f}"
    return shown.replace(",", "\u202f")


def bytes_of(value: Any) -> str:
    """Bytes in the largest binary unit that leaves at least 1."""
    found = number(value)
    if found is None:
        return ABSENT
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(found) < 1024:
            return f"{digits(found)} {unit}"
        found /= 1024
    return f"{digits(found)} TiB"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Lines of a Markdown table; the first column is text, the others numbers."""
    names = list(head)
    lines = [f"| {' | '.join(names)} |", "|---|" + "---:|" * (len(names) - 1)]
    return lines + [f"| {' | '.join(row)} |" for row in rows]
