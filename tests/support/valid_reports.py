"""Every report that a test makes is valid against the published schema, and holds no more.

Checking takes longer than making: of objects of a report that differ in numbers and free text alone
only the first is checked.
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
"""What is valid: keyword, place in the schema, and shape of the object."""


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
def _schema() -> dict[str, Any]:
    return strict_schema()


@functools.cache
def _validator() -> Any:
    plain = jsonschema.Draft202012Validator
    keywords = {
        keyword: _first_only(keyword, plain.VALIDATORS[keyword])
        for keyword in ("$ref", "unevaluatedProperties")
    }
    return jsonschema.validators.extend(plain, keywords)(_schema())


def _first_only(keyword: str, check: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    """A keyword of the schema that checks one object of each shape."""

    def errors_of(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if not isinstance(instance, dict):
            yield from check(validator, value, instance, schema) or ()
            return
        key = (keyword, id(schema), _shape(instance))
        if key in _seen:
            return
        errors = [*(check(validator, value, instance, schema) or ())]
        if not errors:
            _seen.add(key)
        yield from errors

    return errors_of


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
        # A report of one setting has its keys at the top level too.
        return (len(value) == 1, frozenset(_shape(inner, key) for inner in value))
    return value if isinstance(value, str) and key in _keys_of_words() else type(value)


def check_report(values: dict[str, Any]) -> None:
    """Check a report.

    Raises:
        AssertionError: It is not valid; says where.
    """
    errors = [f"{e.json_path}: {e.message[:300]}" for e in _validator().iter_errors(values)]
    assert not errors, "\n".join(errors)


def checked(to_json: Callable[[Report], dict[str, Any]]) -> Callable[[Report], dict[str, Any]]:
    """``Report.to_json`` that checks what it gives."""

    @functools.wraps(to_json)
    def values_of(report: Report) -> dict[str, Any]:
        values = to_json(report)
        check_report(values)
        return values

    return values_of
