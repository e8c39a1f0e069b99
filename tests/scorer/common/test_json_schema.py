"""Dataclasses as JSON Schema: what is written is valid, and what cannot be read is not."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import jsonschema
import pytest

from scorer.common.json_schema import definitions
from scorer.common.json_values import FLAT, OMITTED, converted, json_values, stored_as


@dataclass(frozen=True, slots=True)
class Inner:
    """What is inside.

    Attributes:
        low: Lower end, ``0`` to 1; None
            where there is none.
        high: As of :class:`~scorer.stats.intervals.Interval`.
    """

    low: float | None
    high: float = 1.0


@dataclass(frozen=True, slots=True)
class Flat:
    """Its keys stand in the object around it.

    Attributes:
        size: A size.
    """

    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    """What is outside, in
    two lines.

    More is said here.

    Attributes:
        kind: Its kind.
        inner: What is inside.
        cls: Its class.

    Source: nowhere.
    """

    kind: Literal["one", "other"]
    inner: Inner
    flat: Flat | None = field(metadata=FLAT)
    cls: str = field(default="", metadata=stored_as("class"))
    many: tuple[Inner, ...] = ()
    named: dict[str, str | int] = field(default_factory=dict)
    counted: dict[int, int] = field(default_factory=dict)
    words: tuple[str, ...] = field(
        default=(), metadata=converted(lambda text: (*text.split(),), " ".join, str)
    )
    more: tuple[str, ...] = field(default=(), metadata=OMITTED)


def validator() -> jsonschema.Draft202012Validator:
    schema = {"$ref": "#/$defs/Outer", "$defs": definitions(Outer)}
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def values(**changes: Any) -> dict[str, Any]:
    whole = Outer(
        kind="one",
        inner=Inner(math.nan, math.inf),
        flat=Flat(3),
        many=(Inner(None), Inner(-math.inf, 2)),
        named={"a": 1, "b": "c"},
        counted={-1: 2},
        words=("a", "b"),
    )
    return {**json_values(whole, words=True), **changes}


def test_what_is_written_is_valid() -> None:
    assert validator().is_valid(values())
    assert validator().is_valid(values(size=None)), "no flat part"
    assert validator().is_valid(values(new=1)), "a later version may add keys"


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "third"},
        {"inner": {"high": 1.0}},
        {"inner": {"low": "infinite"}},
        {"inner": None},
        {"size": 1.5},
        {"class": 1},
        {"many": {}},
        {"many": [1]},
        {"named": {"a": None}},
        {"counted": {"one": 1}},
        {"words": ["a"]},
        {"more": [1]},
    ],
)
def test_what_cannot_be_read_is_not_valid(changes: dict[str, Any]) -> None:
    assert not validator().is_valid(values(**changes))


def test_descriptions_are_those_of_the_docstrings() -> None:
    found = definitions(Outer)
    outer, inner = found["Outer"], found["Inner"]
    assert outer["description"] == "What is outside, in two lines."
    assert outer["required"] == ["kind", "inner"]
    properties = outer["properties"]
    assert properties["class"] == {"description": "Its class.", "type": "string"}
    assert properties["size"]["description"] == "A size."
    assert "description" not in properties["named"]
    said = {key: form["description"] for key, form in inner["properties"].items()}
    assert said == {"low": "Lower end, `0` to 1; null where there is none.",
                    "high": "As of `Interval`."}  # fmt: skip


def test_what_has_no_form_and_two_classes_of_one_name_are_refused() -> None:
    @dataclass
    class Odd:
        value: complex

    with pytest.raises(TypeError, match="has no form in JSON"):
        definitions(Odd)

    def another() -> type[Any]:
        @dataclass
        class Inner:
            x: int

        return Inner

    with pytest.raises(ValueError, match="are called Inner"):
        definitions(_joined(Inner, another()))


def _joined(a: type[Any], b: type[Any]) -> type[Any]:
    class Both:
        """Two."""

    Both.__annotations__ = {"a": a, "b": b}
    return dataclass(Both)
