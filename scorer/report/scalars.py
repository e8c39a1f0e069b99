"""The single values of a report's row and of its run, by name: for tables over many runs.

A name is the path of keys that leads to the value in ``report.json``: ``kl.mean`` and
``intervals.kl_mean.low`` of a row, ``run.versions.mlx`` of its run. Values are those of the report;
lists are left out. Pure standard library.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scorer.common.errors import InputError
from scorer.common.json_schema import attribute_docs
from scorer.common.json_values import FLAT_KEY, FORM, KEY, WRITE, flat_class, union_members
from scorer.report.deployment_part import DeploymentPart, PlacedCell
from scorer.report.setting_row import SettingRow
from scorer.report.tree import ReferencePart, Report, RunPart

Kind = Literal["text", "whole", "number", "flag"]
Scalar = str | int | float | bool | None

_KINDS: dict[Any, Kind] = {str: "text", int: "whole", float: "number", bool: "flag"}
_LARGEST = 1 << 63
# By names of files, of which many runs have many; their hash is in `run.conditions`.
_LEFT_OUT = ("files", "model_files")


@dataclass(frozen=True, slots=True)
class Column:
    """A named value of every row.

    Attributes:
        name: Its name.
        kind: What its values are, where they are not None: ``whole`` fits 64 bits.
        description: What it says.
        is_prefix: Whether ``name`` only begins the names of values, whose last key depends on the
            run: ``run.versions``.
    """

    name: str
    kind: Kind
    description: str
    is_prefix: bool = False


# What a row of the table is made of: where its names begin, and the class that holds the values.
_PARTS: tuple[tuple[str, type[Any]], ...] = (
    ("", SettingRow),
    ("reference.", ReferencePart),
    ("run.", RunPart),
    ("deployment.", DeploymentPart),
    ("deployment.cell.", PlacedCell),
)


@functools.cache
def columns() -> tuple[Column, ...]:
    """All columns, in the order of the report's keys."""
    return tuple(column for prefix, cls in _PARTS for column in _columns(cls, prefix))


def _columns(cls: type[Any], prefix: str) -> Iterator[Column]:
    hints, said = typing.get_type_hints(cls), attribute_docs(cls)
    for field in dataclasses.fields(cls):
        if field.metadata.get(FLAT_KEY):
            yield from _columns(flat_class(cls, field.name)[0], prefix)
            continue
        name = prefix + field.metadata.get(KEY, field.name)
        about = said.get(field.name, "")
        members = _members(field.metadata.get(FORM, hints[field.name]))
        if kind := _kind(members):
            yield Column(name, kind, about)
        elif dataclasses.is_dataclass(members[0]):
            yield from _columns(typing.cast(type[Any], members[0]), f"{name}.")
        elif typing.get_origin(members[0]) in (dict, Mapping):
            kind = _kind(_members(typing.get_args(members[0])[1]))
            if kind and field.name not in _LEFT_OUT:
                yield Column(name, kind, about, is_prefix=True)


def _members(hint: Any) -> tuple[Any, ...]:
    return tuple(part for part in union_members(hint) if part is not types.NoneType)


def _kind(members: tuple[Any, ...]) -> Kind | None:
    """The kind of values of some types; text where they are of several; None for no scalars."""
    types_of = [
        type(typing.get_args(m)[0]) if typing.get_origin(m) is Literal else m for m in members
    ]
    kinds = {_KINDS.get(each) for each in types_of}
    if None in kinds:
        return None
    return typing.cast(Kind, next(iter(kinds))) if len(kinds) == 1 else "text"


@functools.cache
def column_of(name: str) -> Column:
    """The column of a value that :func:`scalars` names."""
    for column in columns():
        if name == column.name or (column.is_prefix and name.startswith(f"{column.name}.")):
            return column
    raise KeyError(name)


def scalars(report: Report, row: SettingRow) -> dict[str, Scalar]:
    """The values of a row by name, those left out that are None.

    Args:
        report: A report.
        row: One of its rows.

    Raises:
        InputError: A whole number does not fit 64 bits.
    """
    place = report.deployment
    owners = (row, report.reference, report.run, place, place and place.cell(row.setting))
    found: dict[str, Scalar] = {}
    for (prefix, _), owner in zip(_PARTS, owners, strict=True):
        if owner is not None:
            found.update(_values(owner, prefix))
    return {name: _fitting(name, value) for name, value in found.items() if value is not None}


def _fitting(name: str, value: Scalar) -> Scalar:
    """A value as its column holds it."""
    kind = column_of(name).kind
    if kind == "text":
        return str(value)
    if type(value) is not int:
        return value
    if not -_LARGEST <= value < _LARGEST:
        raise InputError(f"the report's `{name[:40]}` is too large a number")
    return float(value) if kind == "number" else value


def _values(owner: Any, prefix: str) -> Iterator[tuple[str, Scalar]]:
    for field in dataclasses.fields(owner):
        value = getattr(owner, field.name)
        if field.metadata.get(FLAT_KEY):
            if value is not None:
                yield from _values(value, prefix)
            continue
        name = prefix + field.metadata.get(KEY, field.name)
        if write := field.metadata.get(WRITE):
            value = write(value)
        if value is None or isinstance(value, str | int | float):
            yield name, value
        elif isinstance(value, Mapping) and field.name not in _LEFT_OUT:
            for key, item in value.items():
                if item is None or isinstance(item, str | int | float):
                    yield f"{name}.{key}", item
        elif dataclasses.is_dataclass(value):
            yield from _values(value, f"{name}.")
