"""Hypothesis strategies for the scorer's events, with any value that the types of fields allow."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import strategies as st

from scorer.spec.events import (
    ChunkScored,
    Event,
    Failed,
    Finished,
    Hello,
    Loading,
    Planned,
    Progress,
    SettingFailedEvent,
    Warned,
)

KINDS: list[type[Event]] = [
    Hello,
    Loading,
    Planned,
    Progress,
    ChunkScored,
    Warned,
    SettingFailedEvent,
    Finished,
    Failed,
]

numbers = st.floats(allow_nan=False)
integers = st.integers(-(2**63), 2**63 - 1)
counts = st.dictionaries(st.text(), integers, max_size=3)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
objects = st.dictionaries(st.text(), json_values, max_size=4)

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "str": st.text(),
    "str | None": st.none() | st.text(),
    "int": integers,
    "float": numbers,
    "float | None": st.none() | numbers,
    "bool": st.booleans(),
    "list[str]": st.lists(st.text(), max_size=3),
    "list[int]": st.lists(integers, max_size=3),
    "list[float]": st.lists(numbers, max_size=9),
    "dict[str, str]": st.dictionaries(st.text(), st.text(), max_size=3),
    "dict[str, int]": counts,
    "dict[str, float]": st.dictionaries(st.text(), numbers, max_size=3),
    "dict[int, int]": st.dictionaries(integers, integers, max_size=3),
    "dict[str, str | int | float | bool | None]": st.dictionaries(
        st.text(),
        st.none() | st.booleans() | integers | st.text() | st.floats(allow_nan=False),
        max_size=3,
    ),
    "dict[str, Any]": objects,
}

events = st.one_of(
    [
        st.builds(kind, **{f.name: VALUES[str(f.type)] for f in dataclasses.fields(kind)})
        for kind in KINDS
    ]
)
