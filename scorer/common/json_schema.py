"""The JSON Schema of what a dataclass becomes in JSON, made of its annotations and docstrings.

It describes what :func:`scorer.common.json_values.json_values` writes with ``words``. Descriptions
are those of the ``Attributes`` section of each class. Pure standard library.

Source: JSON Schema, draft 2020-12, https://json-schema.org/draft/2020-12.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from scorer._version import __version__
from scorer.common.json_values import FLAT_KEY, FORM, KEY, flat_class, union_members

DIALECT = "https://json-schema.org/draft/2020-12/schema"

FLOAT = "Float"
"""Name of the definition of a float: JSON has no infinity and no undefined number."""
_FLOAT: dict[str, Any] = {
    "description": "A number; infinities are text, and an undefined number is null.",
    "anyOf": [{"type": ["number", "null"]}, {"enum": ["Infinity", "-Infinity"]}],
}
_PLAIN: dict[Any, str] = {
    str: "string",
    int: "integer",
    bool: "boolean",
    types.NoneType: "null",
}
_ROLE = re.compile(r":\w+:`~?([^`]+)`")
_NONE = re.compile(r"\bNone\b")
_SECTION = re.compile(r"^(\s*)Attributes:\s*$")
_ENTRY = re.compile(r"([A-Za-z_]\w*(?:, [A-Za-z_]\w*)*): (.*)")


def schema_of(
    cls: type[Any], name: str, number: int, title: str, kind: str | None = None
) -> dict[str, Any]:
    """The schema of a form, as JSON values, draft 2020-12.

    Args:
        cls: The dataclass, with its number in ``schema``.
        name: What the form is called in the id of the schema.
        number: The number that it has.
        title: What it is.
        kind: What its ``kind`` is; None where it has none.
    """
    found = definitions(cls)
    properties = found[cls.__name__]["properties"]
    properties["schema"]["const"] = number
    if kind is not None:
        properties["kind"]["const"] = kind
    return {
        "$schema": DIALECT,
        "$id": f"urn:qfid:{name}:{number}",
        "$comment": f"made by qfid {__version__}",
        "title": f"{title}, schema {number}",
        "$ref": f"#/$defs/{cls.__name__}",
        "$defs": found,
    }


def schema_text(schema: dict[str, Any]) -> str:
    """A schema as JSON text: indented, ASCII, newline at the end."""
    return json.dumps(schema, indent=2) + "\n"


def definitions(cls: type[Any]) -> dict[str, dict[str, Any]]:
    """The definitions of a dataclass and of everything in it, by name of the class.

    A key is required if every version of the form has it: if its field has no default. Keys that
    are not named may be there: later versions add some.

    Args:
        cls: The dataclass.

    Raises:
        TypeError: An annotation has no form in JSON.
        ValueError: Two classes have one name.
    """
    made = _Definitions()
    made.add(cls)
    return {name: made.found[name] for name in sorted(made.found)}


class _Definitions:
    """The definitions so far.

    Attributes:
        found: Name to definition.
    """

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}
        self._classes: dict[str, type[Any]] = {}

    def add(self, cls: type[Any]) -> str:
        """Define a class, and those in it; its name."""
        name = cls.__name__
        if (known := self._classes.setdefault(name, cls)) is not cls:
            raise ValueError(f"both {known} and {cls} are called {name}")
        if name not in self.found:
            own = self.found[name] = {"description": _summary(cls), "type": "object"}
            properties, required = self._properties(cls)
            own["properties"] = properties
            if required:
                own["required"] = required
        return name

    def _properties(self, cls: type[Any]) -> tuple[dict[str, Any], list[str]]:
        hints, said = typing.get_type_hints(cls), attribute_docs(cls)
        properties: dict[str, Any] = {}
        required: list[str] = []
        for field in dataclasses.fields(cls):
            if field.metadata.get(FLAT_KEY):
                inner, optional = flat_class(cls, field.name)
                own, needed = self._properties(inner)
                properties |= {key: _or_null(of) if optional else of for key, of in own.items()}
                required += [] if optional else needed
                continue
            key = field.metadata.get(KEY, field.name)
            about = {"description": said[field.name]} if field.name in said else {}
            properties[key] = about | self._form(field.metadata.get(FORM, hints[field.name]))
            if field.default is field.default_factory is dataclasses.MISSING:
                required.append(key)
        return properties, required

    def _form(self, hint: Any) -> dict[str, Any]:
        members = union_members(hint)
        plain = [_PLAIN[part] for part in members if part in _PLAIN]
        forms = [self._other(part) for part in members if part not in _PLAIN]
        if plain:
            forms.append({"type": plain[0] if len(plain) == 1 else plain})
        return forms[0] if len(forms) == 1 else {"anyOf": forms}

    def _other(self, hint: Any) -> dict[str, Any]:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if hint is Any:
            return {}
        if hint is float:
            self.found[FLOAT] = _FLOAT
            return {"$ref": f"#/$defs/{FLOAT}"}
        if dataclasses.is_dataclass(hint):
            return {"$ref": f"#/$defs/{self.add(typing.cast(type[Any], hint))}"}
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin is list or (origin is tuple and arguments[1:] == (...,)):
            return {"type": "array", "items": self._form(arguments[0])}
        if origin in (dict, Mapping):
            names = {} if arguments[0] is str else {"propertyNames": {"pattern": "^-?[0-9]+$"}}
            return {"type": "object", "additionalProperties": self._form(arguments[1])} | names
        raise TypeError(f"{hint} has no form in JSON")


def _or_null(form: dict[str, Any]) -> dict[str, Any]:
    about = {key: value for key, value in form.items() if key == "description"}
    rest = {key: value for key, value in form.items() if key != "description"}
    return about | {"anyOf": [rest, {"type": "null"}]} if rest else form


def _summary(cls: type[Any]) -> str:
    """The first paragraph of a docstring, on one line."""
    return _plain(inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0])


def attribute_docs(cls: type[Any]) -> dict[str, str]:
    """What the docstrings of a class and its bases say of each attribute, by name."""
    return dict(_attributes(cls))


def _attributes(cls: type[Any]) -> Iterator[tuple[str, str]]:
    for base in reversed(cls.__mro__):
        lines = iter(inspect.cleandoc(base.__doc__ or "").splitlines())
        if not any(_SECTION.match(line) for line in lines):
            continue
        names, words = "", ""
        for line in lines:
            if line.startswith("    ") and not line.startswith("     "):
                yield from _each(names, words)
                entry = _ENTRY.match(line.strip())
                names, words = (entry[1], entry[2]) if entry else ("", "")
            elif line.strip() and not line.startswith(" "):
                break
            else:
                words += f" {line.strip()}"
        yield from _each(names, words)


def _each(names: str, words: str) -> Iterator[tuple[str, str]]:
    for name in filter(None, names.split(", ")):
        yield name, _plain(words)


def _plain(text: str) -> str:
    """A docstring's text without the marks of its markup but single backticks; None is null."""
    text = _ROLE.sub(lambda role: f"`{role[1].rpartition('.')[2]}`", text)
    return " ".join(_NONE.sub("null", text.replace("``", "`")).split())
