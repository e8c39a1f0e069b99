"""Dataclasses as JSON values: the one writer of what is stored or sent.

:mod:`scorer.common.json_reader` is the way back. What a field's annotation cannot say stands in its
metadata: :func:`stored_as`, :func:`converted`, :data:`FLAT` and :data:`OMITTED`. Pure standard
library.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

KEY, READ, WRITE, FORM = "json key", "json read", "json write", "json form"
FLAT_KEY, _OMIT = "json flat", "json omit"

FLAT: Mapping[str, Any] = types.MappingProxyType({FLAT_KEY: True})
"""Metadata of a field that holds a dataclass whose keys stand in the object around it.

Where the field may be None, that is written as null under every key that is always written, and
read from it.
"""

OMITTED: Mapping[str, Any] = types.MappingProxyType({_OMIT: True})
"""Metadata of a field that is not written while it is None, False or empty."""

FLAT_OMITTED: Mapping[str, Any] = types.MappingProxyType({FLAT_KEY: True, _OMIT: None})
"""Metadata of a flat field whose keys are not written while it is None."""

OMITTED_IF_NONE: Mapping[str, Any] = types.MappingProxyType({_OMIT: None})
"""Metadata of a field that is not written while it is None; an empty value is written."""


def stored_as(key: str) -> Mapping[str, Any]:
    """Metadata of a field whose key in JSON is not its name."""
    return {KEY: key}


def converted(
    read: Callable[[Any], Any], write: Callable[[Any], Any], form: Any
) -> Mapping[str, Any]:
    """Metadata of a field that is read and written by functions of its own.

    Args:
        read: From a JSON value. Raises InputError with a message of its own, or TypeError or
            ValueError for a value of the wrong type.
        write: To a JSON value.
        form: The annotation of what is written.
    """
    return {READ: read, WRITE: write, FORM: form}


def json_values(value: Any, *, words: bool = False) -> Any:
    """A dataclass, or values that hold some, as JSON values.

    Args:
        value: What is written; tuples become lists, keys text.
        words: Write infinities as ``"Infinity"`` and ``"-Infinity"`` and undefined numbers as
            null, for JSON that every reader takes.
    """
    if isinstance(value, float):
        if not words or math.isfinite(value):
            return value
        return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return {str(key): json_values(item, words=words) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(item, words=words) for item in value]
    found: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        item, metadata = getattr(value, field.name), field.metadata
        if metadata.get(FLAT_KEY):
            found |= _flat_values(field, value, item, words)
        elif not (_OMIT in metadata and _is_absent(item, or_empty=bool(metadata[_OMIT]))):
            write = metadata.get(WRITE)
            found[metadata.get(KEY, field.name)] = (
                json_values(item, words=words) if write is None else write(item)
            )
    return found


def _is_absent(item: Any, *, or_empty: bool) -> bool:
    return item is None or (or_empty and (item is False or item in ((), {}, "")))


def _flat_values(
    field: dataclasses.Field[Any], owner: Any, item: Any, words: bool
) -> dict[str, Any]:
    if item is not None:
        return typing.cast(dict[str, Any], json_values(item, words=words))
    if _OMIT in field.metadata:
        return {}
    inner, _ = flat_class(type(owner), field.name)
    left_out = {field.name for field in dataclasses.fields(inner) if _OMIT in field.metadata}
    return {key: None for key in keys_of(inner) if key not in left_out}


def keys_of(cls: type[Any]) -> tuple[str, ...]:
    """Keys of a dataclass that has no flat field."""
    return tuple(field.metadata.get(KEY, field.name) for field in dataclasses.fields(cls))


def flat_class(owner: Any, name: str) -> tuple[type[Any], bool]:
    """The dataclass of a flat field, and whether the field may be None."""
    members = union_members(typing.get_type_hints(owner)[name])
    (inner,) = (member for member in members if member is not types.NoneType)
    return inner, len(members) > 1


def union_members(hint: Any) -> tuple[Any, ...]:
    """The members of a union; of anything else itself."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)
