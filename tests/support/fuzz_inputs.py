"""What the readers of foreign files are fed in the fuzz tests, and how damage is drawn."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from scorer.common.errors import QfidError

ACTS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal obeys, or what no encoding accepts."""


@dataclasses.dataclass(frozen=True)
class FuzzCase:
    """One reader under fire.

    Attributes:
        name: The reader, and what is done to what it reads.
        values: What it is fed.
        check: Feeds it, and fails where anything but an answer or one clear line comes back. The
            folder is the case's own and holds what earlier examples left there.
    """

    name: str
    values: st.SearchStrategy[Any]
    check: Callable[[Path, Any], None]


def one_clear_line(error: QfidError) -> None:
    """The error is short, and each of its parts is a line."""
    assert error.message.strip() and len(error.message) < 700 and len(error.hint) < 700
    assert len(error.message.splitlines()) == 1 and len(error.hint.splitlines()) <= 1


hostile_text = st.sampled_from(
    [
        *("", " ", "\x00", "\x1b[2J\x1b]0;x\x07", "\x9b31m", "\r\n", "\u202e\u2066x", "\ud800"),
        *("[/red]", "|", "`", "<b>", "=1+1", "../../x", "/etc/passwd", "a" * 5000, "模型🧮"),
    ]
) | st.text(max_size=6)
hostile_number = st.sampled_from(
    [
        *(0, -1, 1, 2, 3, 7, 64, 2**31, 2**63, 2**64, 10**400, -(2**63)),
        *(0.0, 0.5, -0.0, 1e308, 5e-324, float("nan"), float("inf"), float("-inf")),
    ]
) | st.integers(-4, 200)
hostile_value = st.recursive(
    st.none() | st.booleans() | hostile_number | hostile_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(hostile_text, inner, max_size=3),
    max_leaves=6,
)


def paths_of(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Keys and indices that lead to every value inside a JSON value, itself left out."""
    inside: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value))
    found = []
    for key, item in inside:
        found += [(*above, key), *paths_of(item, (*above, key))]
    return found


@st.composite
def harmed_json(draw: st.DrawFn, whole: st.SearchStrategy[Any]) -> Any:
    """A JSON value with some of the values inside it replaced, removed or renamed."""
    value = draw(whole)
    for _ in range(draw(st.integers(1, 3))):
        paths = paths_of(value)
        if not paths:
            break
        *above, last = draw(st.sampled_from(paths))
        place = value
        for key in above:
            place = place[key]
        what = draw(st.sampled_from(["replace", "replace", "replace", "remove", "rename"]))
        if what == "replace":
            place[last] = draw(hostile_value)
        elif what == "remove" or isinstance(place, list):
            del place[last]
        else:
            place[draw(hostile_text)] = place.pop(last)
    return value


@st.composite
def harmed_bytes(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Bytes overwritten, inserted, deleted, doubled or cut."""
    data = draw(whole)
    kinds = st.sampled_from(["overwrite", "overwrite", "insert", "delete", "double", "cut"])
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(kinds)
        at = draw(st.integers(0, len(data)))
        part = draw(st.binary(min_size=1, max_size=12))
        if kind == "overwrite":
            data = data[:at] + part + data[at + len(part) :]
        elif kind == "insert":
            data = data[:at] + part + data[at:]
        elif kind == "delete":
            data = data[:at] + data[at + len(part) :]
        elif kind == "double":
            data = data[:at] + data
        else:
            data = data[:at]
    return data
