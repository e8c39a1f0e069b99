"""The cells of Markdown tables, and whether their numbers are plain."""

from __future__ import annotations

import re

# Thousands set apart by any kind of blank, by a comma or an apostrophe; a dash that is not ASCII
# before or between digits; infinity; digits of another script.
_UNLIKE = re.compile(
    r"\d[\s,'\u2019]\d{3}(?!\d)|[\u2010-\u2015\u2212]\s?[\d.]|\d\s?[\u2010-\u2015\u2212]|\u221e"
    r"|[^\W\D0-9]"
)


def cells(markdown: str) -> list[str]:
    """The cells of all tables, heads included, without their code spans."""
    found = []
    for line in markdown.splitlines():
        if line.startswith("|") and not re.fullmatch(r"[|: -]+", line):
            plain = re.sub(r"(`+).+?\1(?!`)", "", line)
            found += [cell.strip() for cell in plain.strip("|").split("|")]
    return found


def unlike_plain(markdown: str) -> list[str]:
    """The cells whose numbers a program would read otherwise than people do."""
    return [cell for cell in cells(markdown) if _UNLIKE.search(cell)]


def first_table(markdown: str) -> list[list[str]]:
    """The rows of the first table, its head first, code spans and all."""
    found: list[list[str]] = []
    for line in markdown.splitlines():
        if not line.startswith("|"):
            if found:
                break
        elif not re.fullmatch(r"[|: -]+", line):
            found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found
