"""Formats the list of cached models as text, Markdown or JSON."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterable, Sequence
from typing import Any

from scorer.common.inert_text import inert
from scorer.models.info import ModelInfo
from scorer.models.listing import Listing
from scorer.report.formats.inline import (
    ABSENT,
    ROUGHLY,
    bytes_of,
    code,
    columns,
    count,
    prose,
    table,
    text,
)

_HEAD = ("rev", "arch", "bits", "size", "layers", "KV×dim", "KV B/token", "used")
_LEFT = (0, 1, 7)
_ARCH = 1
_GAP = "  "
_LEGEND = "KV×dim: KV heads × elements of each; KV B/token: bytes at 16 bit"
_ELLIPSIS = "…"


def to_json(listing: Listing, hub: str) -> dict[str, Any]:
    """Return the list as JSON values; sizes in bytes, times in unix seconds."""
    return {
        "cache": hub,
        "models": [info.to_json() for info in listing.scorable],
        "unscorable": [
            {
                "name": repo.name,
                "reason": repo.reason,
                "size_bytes": repo.size_bytes,
                "kv_bytes_per_token_16bit": repo.geometry and repo.geometry.bytes_per_token_16bit(),
            }
            for repo in listing.unscorable
        ],
    }


def to_markdown(listing: Listing) -> list[str]:
    """Return the list as one or two Markdown tables."""
    head = ["model", "revision", "architecture", "weight bits", "size", "layers", "KV heads"]
    head += ["head dim", "KV bytes per token (16 bit)", "last used"]
    lines = table(head, map(_markdown_row, listing.scorable), left=(0, 1, 2, 9))
    if not listing.scorable:
        lines = ["No model can be scored."]
    if listing.unscorable:
        lines += ["", "Cannot be scored:", ""]
        lines += table(
            ["repo", "size", "why"],
            [(code(r.name), bytes_of(r.size_bytes), prose(r.reason)) for r in listing.unscorable],
            left=(0, 2),
        )
    return lines


def _markdown_row(info: ModelInfo) -> list[str]:
    return [
        code(info.name),
        code((info.revision or "")[:12]),
        text(info.architecture),
        _bits(info),
        bytes_of(info.size_bytes),
        count(info.layers) if info.layers else ABSENT,
        _measured(info, info.kv_heads),
        _measured(info, info.head_dim),
        _measured(info, info.kv_bytes_per_token_16bit),
        day(info.last_used),
    ]


def to_text(listing: Listing, width: int | None) -> list[str]:
    """Return the list as lines for a terminal.

    Args:
        listing: The models.
        width: Columns of the terminal, or None for no limit. If one line per model does not fit,
            the name is above the figures; a name that is still too long is shortened, first its
            owner, last its end.
    """
    lines = _models(listing.scorable, width) if listing.scorable else []
    if listing.unscorable:
        lines += [""] if lines else []
        lines += ["cannot be scored"]
        for repo in listing.unscorable:
            size = f" ({bytes_of(repo.size_bytes)})"
            lines.append(shortened(repo.name, width and width - len(size)) + size)
            lines += _wrapped(inert(repo.reason), width)
    return lines


def _models(models: Sequence[ModelInfo], width: int | None) -> list[str]:
    names = [inert(info.name) for info in models]
    rows = [list(_HEAD), *map(_figures, models)]
    beside = max(map(columns, ["model", *names])) + len(_GAP) + _total(rows)
    if width is None or beside <= width:
        joined = [[name, *row] for name, row in zip(["model", *names], rows, strict=True)]
        lines = _aligned(joined, left=(0, *(i + 1 for i in _LEFT)))
    else:
        spare = width - len(_GAP) - _total(rows)
        if spare < 0:
            widest = max(4, max(columns(row[_ARCH]) for row in rows) + spare)
            for row in rows:
                row[_ARCH] = _cut_end(row[_ARCH], widest)
        head, *figures = (_GAP + line for line in _aligned(rows, left=_LEFT))
        lines = ["model", head]
        for info, line in zip(models, figures, strict=True):
            lines += [shortened(info.name, width), line]
    # The legend is only for terminals.
    return lines if width is None else [*lines, "", *_wrapped(_LEGEND, width, indent="")]


def _figures(info: ModelInfo) -> list[str]:
    return [
        (info.revision or ABSENT)[:7],
        inert(info.architecture),
        _bits(info),
        bytes_of(info.size_bytes),
        count(info.layers) if info.layers else ABSENT,
        ABSENT if info.kv_heads is None else f"{info.kv_heads}×{info.head_dim}",
        _measured(info, info.kv_bytes_per_token_16bit),
        day(info.last_used),
    ]


def _measured(info: ModelInfo, value: float | None) -> str:
    """A size of the caches, with a sign where it is a guess."""
    if not value:
        return ABSENT
    return count(value) if info.geometry.exact else f"{ROUGHLY}{count(value)}"


def _bits(info: ModelInfo) -> str:
    return ABSENT if info.weight_bits is None else f"{info.weight_bits:g}"


def day(when: float | None) -> str:
    """A unix time as its local date; a dash for none."""
    if when is None:
        return ABSENT
    try:
        return time.strftime("%Y-%m-%d", time.localtime(when))
    except (OverflowError, ValueError, OSError):
        return ABSENT


def _total(rows: Sequence[Sequence[str]]) -> int:
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _aligned(rows: Sequence[Sequence[str]], left: Iterable[int]) -> list[str]:
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    at_left = set(left)
    lines = []
    for row in rows:
        cells = []
        for i, cell in enumerate(row):
            gap = " " * (widths[i] - columns(cell))
            cells.append(cell + gap if i in at_left else gap + cell)
        lines.append(_GAP.join(cells).rstrip())
    return lines


def _wrapped(sentence: str, width: int | None, indent: str = _GAP) -> list[str]:
    if width is None:
        return [indent + sentence]
    return textwrap.wrap(sentence, max(width, 20), initial_indent=indent, subsequent_indent=indent)


def shortened(name: str, width: int | None) -> str:
    """Shorten a repo id to ``width`` columns: first its owner, then the middle of the name.

    The end of a name is kept longest, because it names the variant (``-4bit``).

    Args:
        name: Repo id, or name of a folder.
        width: Columns, at least 8; None for no limit.
    """
    shown = inert(name)
    if width is None or columns(shown) <= width:
        return shown
    owner, slash, last = shown.rpartition("/")
    room = width - columns(last) - len(slash)
    if slash and room >= 1:
        return _cut_end(owner, room) + slash + last
    if columns(last) <= width:
        return last
    head = (width - 1) // 2
    kept = _cut_end(last, head + 1).removesuffix(_ELLIPSIS)
    tail = ""
    for character in reversed(last):
        if columns(kept) + 1 + columns(character + tail) > width:
            break
        tail = character + tail
    return kept + _ELLIPSIS + tail


def _cut_end(shown: str, width: int) -> str:
    """Return the start of a text and an ellipsis, in ``width`` columns."""
    if columns(shown) <= width:
        return shown
    kept = ""
    for character in shown:
        if columns(kept + character) + 1 > width:
            break
        kept += character
    return kept + _ELLIPSIS
