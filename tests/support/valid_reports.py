"""Every report that a test makes is valid against the published schema, and holds no more.

Checking takes longer than making: of reports that differ in numbers and free text alone only the
first is checked.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema

from scorer.report.schema import report_schema
from scorer.report.tree import Report

_seen: set[Any] = set()


def strict_schema() -> dict[str, Any]:
    """The published schema, which also refuses keys that it does not name."""
    schema = copy.deepcopy(report_schema())
    for definition in schema["$defs"].values():
        for part in _references(definition):
            part["unevaluatedProperties"] = False
    schema["unevaluatedProperties"] = False
    return schema


def _references(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part
        for inner in part.values():
            yield from _references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _references(inner)


@functools.cache
def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(strict_schema())


@functools.cache
def _keys_of_words() -> frozenset[str]:
    """Keys whose values the schema lists one by one."""
    found = set()
    for definition in report_schema()["$defs"].values():
        for key, form in definition.get("properties", {}).items():
            if "enum" in str(form):
                found.add(key)
    return frozenset(found)


def _shape(value: Any, key: str = "") -> Any:
    """What decides whether a value is valid: keys, types, and words of a list of words."""
    if isinstance(value, dict):
        return frozenset((name, _shape(inner, name)) for name, inner in value.items())
    if isinstance(value, list):
        return ("list", frozenset(_shape(inner, key) for inner in value))
    return value if isinstance(value, str) and key in _keys_of_words() else type(value)


def check_report(values: dict[str, Any]) -> None:
    """Check a report.

    Raises:
        AssertionError: It is not valid; says where.
    """
    shape = (values.get("schema"), len(values.get("settings", ())), _shape(values))
    if shape in _seen:
        return
    errors = [f"{e.json_path}: {e.message[:300]}" for e in validator().iter_errors(values)]
    assert not errors, "\n".join(errors)
    _seen.add(shape)


def checked(to_json: Callable[[Report], dict[str, Any]]) -> Callable[[Report], dict[str, Any]]:
    """``Report.to_json`` that checks what it gives."""

    @functools.wraps(to_json)
    def values_of(report: Report) -> dict[str, Any]:
        values = to_json(report)
        check_report(values)
        return values

    return values_of
