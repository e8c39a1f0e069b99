"""Dataclasses to JSON values and back: what was read is written again, the rest is one line."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.common.errors import InputError
from scorer.common.json_reader import JsonReader, decoded_object
from scorer.common.json_values import FLAT, OMITTED, converted, json_values, stored_as


@dataclass(frozen=True, slots=True)
class Ends:
    low: float
    high: float = 1.0


@dataclass(frozen=True, slots=True)
class Part:
    mean: float
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    name: str
    kind: Literal["one", "other"] = "one"
    count: int = 0
    flag: bool = False
    ends: Ends | None = None
    many: tuple[Ends, ...] = ()
    values: tuple[float, ...] = ()
    ids: list[int] = field(default_factory=list)
    documents: dict[int, int | None] = field(default_factory=dict)
    sizes: dict[str, str | int] = field(default_factory=dict)
    share: float | None = None
    part: Part | None = field(default=None, metadata=FLAT)
    cls: str = field(default="", metadata=stored_as("class"))
    words: tuple[str, ...] = field(
        default=(), metadata=converted(lambda s: (*s.split(),), " ".join, str)
    )
    mixed: tuple[str, ...] = field(default=(), metadata=OMITTED)


STRICT = JsonReader(Whole, "a thing")
LOOSE = JsonReader(Whole, "a thing", unknown="drop", words=True)

numbers = st.floats(allow_nan=False) | st.integers(-(2**80), 2**80)
ends = st.builds(Ends, numbers, numbers)
wholes = st.builds(
    Whole,
    name=st.text(),
    kind=st.sampled_from(("one", "other")),
    count=st.integers(),
    flag=st.booleans(),
    ends=st.none() | ends,
    many=st.lists(ends, max_size=3).map(tuple),
    values=st.lists(numbers, max_size=3).map(tuple),
    ids=st.lists(st.integers(), max_size=3),
    documents=st.dictionaries(st.integers(), st.none() | st.integers(), max_size=3),
    sizes=st.dictionaries(st.text(), st.text() | st.integers(), max_size=3),
    share=st.none() | numbers,
    part=st.none() | st.builds(Part, numbers, st.none() | st.text()),
    cls=st.text(),
    words=st.lists(st.text("ab", min_size=1), max_size=3).map(tuple),
    mixed=st.lists(st.text(), max_size=2).map(tuple),
)


@given(wholes)
def test_what_is_written_is_read_again(whole: Whole) -> None:
    text = json.dumps(json_values(whole, words=True), allow_nan=False)
    assert LOOSE.read(json.loads(text)) == whole
    again = json_values(LOOSE.read(json.loads(text)), words=True)
    assert json.dumps(again) == text
    assert STRICT.read(json.loads(json.dumps(json_values(whole)))) == whole


def test_the_form_in_json() -> None:
    whole = Whole(
        name="x",
        documents={3: None},
        part=Part(math.inf),
        values=(math.nan, 2),
        cls="C",
        words=("a", "b"),
    )
    assert json_values(whole, words=True) == {
        "name": "x",
        "kind": "one",
        "count": 0,
        "flag": False,
        "ends": None,
        "many": [],
        "values": [None, 2],
        "ids": [],
        "documents": {"3": None},
        "sizes": {},
        "share": None,
        "mean": "Infinity",
        "note": None,
        "class": "C",
        "words": "a b",
    }
    assert type(LOOSE.read({"name": "x", "values": [2]}).values[0]) is int
    read = LOOSE.read({"name": "x", "values": [None, "-Infinity"], "share": None, "mean": None})
    assert math.isnan(read.values[0]) and read.values[1] == -math.inf
    assert read.share is None and read.part is None
    assert json_values(Whole(name="x"))["mean"] is None, "a flat part that is absent is null"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "a thing must be a JSON object"),
        ({}, "a thing needs a `name`"),
        ({"name": 3}, "a thing's `name` has the wrong type"),
        ({"name": "x", "kind": "third"}, "a thing's `kind` must be one of: one, other"),
        ({"name": "x", "kind": []}, "a thing's `kind` has the wrong type"),
        ({"name": "x", "count": True}, "a thing's `count` has the wrong type"),
        ({"name": "x", "count": 1.0}, "a thing's `count` has the wrong type"),
        ({"name": "x", "count": 10**400}, "a thing's `count` has the wrong type"),
        ({"name": "x", "flag": 1}, "a thing's `flag` has the wrong type"),
        ({"name": "x", "ends": {}}, "a thing's `ends` needs a `low`"),
        ({"name": "x", "ends": 1}, "a thing's `ends` must be a JSON object"),
        ({"name": "x", "ends": {"low": 1, "mid": 2}}, "a thing's `ends` has no key `mid`"),
        ({"name": "x", "many": [{"low": 1}, {"low": "1"}]}, "a thing's `many.1.low` has the wrong"),
        ({"name": "x", "many": {"low": 1}}, "a thing's `many` has the wrong type"),
        ({"name": "x", "values": [1, "Infinity"]}, "a thing's `values.1` has the wrong type"),
        ({"name": "x", "values": [None]}, "a thing's `values.0` has the wrong type"),
        ({"name": "x", "ids": [1, None]}, "a thing's `ids.1` has the wrong type"),
        ({"name": "x", "documents": {"a": 1}}, "a thing's `documents` has the wrong type"),
        ({"name": "x", "documents": {"1": "b"}}, "a thing's `documents.1` has the wrong type"),
        ({"name": "x", "sizes": []}, "a thing's `sizes` has the wrong type"),
        ({"name": "x", "note": "no mean"}, "a thing needs a `mean`"),
        ({"name": "x", "cls": "y"}, "a thing has no key `cls`"),
        ({"name": "x", "words": 3}, "a thing's `words` has the wrong type"),
        ({"name": "x", "new\nkey": 3}, "a thing has no key `new?key`"),
    ],
)
def test_what_does_not_fit_is_one_line_with_its_keys(data: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        STRICT.read(data)
    assert message in caught.value.message and "\n" not in caught.value.message


def test_unknown_keys_are_dropped_where_a_newer_version_may_have_written_them() -> None:
    data = {"name": "x", "new": 1, "ends": {"low": 0.5, "mid": 2}}
    assert LOOSE.read(data) == Whole(name="x", ends=Ends(0.5))


def test_infinities_in_words_are_read_only_where_they_may_be_written() -> None:
    for wrong in ("NaN", "inf", "infinity", [], {}):
        with pytest.raises(InputError, match="wrong type"):
            LOOSE.read({"name": "x", "values": [wrong]})


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
)


@given(st.dictionaries(st.sampled_from(list(json_values(Whole(name="x")))), anything))
def test_any_json_is_read_or_refused_in_one_line(data: Any) -> None:
    for reader in (STRICT, LOOSE):
        try:
            made = reader.read(data)
        except InputError as error:
            assert "\n" not in error.message
            continue
        # NaN is equal to nothing.
        assert json.dumps(json_values(made)) == json.dumps(json_values(reader.read(data)))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "[" * 100_000, b"\xff"])
def test_a_text_that_is_no_object_is_named(text: str | bytes) -> None:
    with pytest.raises(InputError, match=r"`x\.json` is not"):
        decoded_object(text, "`x.json`")
