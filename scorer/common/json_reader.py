"""JSON values into dataclasses: the one reader of what is stored or sent.

Every value is checked against the annotation of its field: nested dataclasses, ``tuple[X, ...]``,
``list[X]``, mappings with keys that are text or whole numbers, unions, ``Literal`` and ``Any``.
``true`` is no number. A whole number is taken where a float belongs and stays whole, so that
writing gives back what was read. :mod:`scorer.common.json_values` is the way back. Pure standard
library.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, NoReturn, Protocol, TypeVar

from scorer.common.errors import InputError
from scorer.common.inert_text import shown
from scorer.common.json_values import FLAT_KEY, KEY, READ, flat_class, keys_of, union_members


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


T = TypeVar("T", bound=_Dataclass)

UnknownKeys = Literal["refuse", "drop"]

LARGEST = 2.0**1023
"""Whole numbers below this can be floats."""


class _WrongValue(Exception):
    """A value that does not fit, and the keys that lead to it, outermost first."""

    def __init__(self, reason: str = "has the wrong type", *path: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = list(path)


@dataclass(frozen=True, slots=True)
class _Rules:
    """How a whole tree is read: see :class:`JsonReader`."""

    unknown: UnknownKeys
    words: bool
    largest: float


@dataclass(frozen=True, slots=True)
class _Kind:
    """How values of one annotation are read.

    Attributes:
        plain: Types of JSON values that are taken as they are, whole numbers if they are in range.
        read: Reads every other value; None where there is no other.
    """

    plain: frozenset[type]
    read: Callable[[Any], Any] | None


class JsonReader(Generic[T]):
    """Reads one dataclass, and everything in it, from JSON values.

    Annotations are looked at once, when the first value is read.
    """

    def __init__(
        self,
        cls: type[T],
        what: str,
        *,
        unknown: UnknownKeys = "refuse",
        words: bool = False,
        largest: float = LARGEST,
    ) -> None:
        """Choose what is read and how strictly.

        Args:
            cls: The dataclass.
            what: How messages name it: ``a job``.
            unknown: What to do with a key that the dataclass, or one in it, does not have.
            words: Floats may be written as :func:`json_values` writes them with ``words``.
            largest: Whole numbers must be below this and not below its negative.
        """
        self._cls = cls
        self._what = what
        self._rules = _Rules(unknown, words, largest)
        self._read: Callable[[Any], Any] | None = None

    def read(self, data: Any) -> T:
        """Read what :func:`json_values` wrote.

        Raises:
            InputError: A key is missing or unknown, or a value does not fit; the message is one
                line and names the keys that lead there.
        """
        if self._read is None:
            self._read = _object_reader(self._cls, self._rules)
        try:
            found: T = self._read(data)
        except _WrongValue as wrong:
            self._refuse(wrong)
        return found

    def _refuse(self, wrong: _WrongValue) -> NoReturn:
        path = ".".join(wrong.path)
        where = f"{self._what}'s {shown(path)}" if path else self._what
        raise InputError(f"{where} {wrong.reason}") from None


@dataclass(frozen=True, slots=True)
class _Plan:
    """How the fields of a dataclass are read: key, name and kind of each, and the flat ones."""

    fields: list[tuple[str, str, frozenset[type], Callable[[Any], Any] | None]]
    flat: list[tuple[str, tuple[str, ...], bool, Callable[[Any], Any]]]
    keys: frozenset[str]
    required: list[tuple[str, str]]


def _object_reader(cls: type[Any], rules: _Rules) -> Callable[[Any], Any]:
    plan: _Plan | None = None
    low, high, refuses = -rules.largest, rules.largest, rules.unknown == "refuse"

    def read(data: Any) -> Any:
        nonlocal plan
        if plan is None:
            plan = _plan(cls, rules)
        if type(data) is not dict:
            raise _WrongValue("must be a JSON object")
        values: dict[str, Any] = {}
        for key, name, plain, other in plan.fields:
            if key not in data:
                continue
            value = data[key]
            kind = type(value)
            if kind in plain and (kind is not int or low <= value < high):
                values[name] = value
            elif other is None:
                raise _WrongValue("has the wrong type", key)
            else:
                values[name] = _inside(key, other, value)
        for name, keys, optional, other in plan.flat:
            part = {key: data[key] for key in keys if key in data}
            empty = optional and all(value is None for value in part.values())
            values[name] = None if empty else other(part)
        for key, name in plan.required:
            if name not in values:
                raise _WrongValue(f"needs a {shown(key)}")
        if refuses and (unknown := [str(key) for key in data if key not in plan.keys]):
            raise _WrongValue(f"has no key {shown(min(unknown))}")
        return cls(**values)

    return read


def _inside(key: str, read: Callable[[Any], Any], value: Any) -> Any:
    """Read a value; what is wrong with it is said with the key that leads to it."""
    try:
        return read(value)
    except _WrongValue as wrong:
        wrong.path.insert(0, key)
        raise
    except (TypeError, ValueError, AttributeError, OverflowError):
        raise _WrongValue("has the wrong type", key) from None


def _plan(cls: type[Any], rules: _Rules) -> _Plan:
    plan = _Plan([], [], frozenset(), [])
    hints = typing.get_type_hints(cls)
    keys: set[str] = set()
    for field in dataclasses.fields(cls):
        if field.metadata.get(FLAT_KEY):
            inner, optional = flat_class(cls, field.name)
            own = keys_of(inner)
            # Its keys are some of the object's: none can be unknown to it.
            plan.flat.append((field.name, own, optional, _object_reader(inner, rules)))
            keys.update(own)
            continue
        key = field.metadata.get(KEY, field.name)
        keys.add(key)
        if not field.init:
            # Always its default, whatever a file says.
            continue
        own_read = field.metadata.get(READ)
        kind = _Kind(frozenset(), own_read) if own_read else _kind(hints[field.name], rules)
        plan.fields.append((key, field.name, kind.plain, kind.read))
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            plan.required.append((key, field.name))
    return dataclasses.replace(plan, keys=frozenset(keys))


def _kind(hint: Any, rules: _Rules) -> _Kind:
    plain: set[type] = set()
    readers: list[Callable[[Any], Any]] = []
    for part in union_members(hint):
        if part is float:
            plain |= {float, int}
            if rules.words:
                readers.append(_float_in_words)
        elif part in (str, int, bool, types.NoneType):
            plain.add(part)
        else:
            readers.append(_reader(part, rules))
    if len(readers) > 1:
        raise TypeError(f"JSON does not tell the members of {hint} apart")
    return _Kind(frozenset(plain), readers[0] if readers else None)


def _reader(hint: Any, rules: _Rules) -> Callable[[Any], Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return _as_it_is
    if dataclasses.is_dataclass(hint):
        return _object_reader(typing.cast(type[Any], hint), rules)
    if origin is Literal:
        return _literal_reader(arguments)
    if origin is list or (origin is tuple and arguments[1:] == (...,)):
        return _list_reader(origin, _kind(arguments[0], rules), rules)
    if origin in (dict, Mapping):
        return _mapping_reader(arguments[0], _kind(arguments[1], rules), rules)
    raise TypeError(f"{hint} has no form in JSON")


def _as_it_is(value: Any) -> Any:
    return value


_WORDS = {None: math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _float_in_words(value: Any) -> float:
    if type(value) not in (str, types.NoneType) or value not in _WORDS:
        raise _WrongValue
    return _WORDS[value]


def _literal_reader(allowed: tuple[Any, ...]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not str:
            raise _WrongValue
        if value not in allowed:
            raise _WrongValue(f"must be one of: {', '.join(allowed)}")
        return value

    return read


def _list_reader(make: type[Any], kind: _Kind, rules: _Rules) -> Callable[[Any], Any]:
    # Whole numbers have a range, and are looked at one by one.
    plain = kind.plain - {int}

    def read(data: Any) -> Any:
        if type(data) is not list:
            raise _WrongValue
        if plain.issuperset(map(type, data)):
            return make(data)
        return make([_item(str(i), item, kind, rules.largest) for i, item in enumerate(data)])

    return read


def _mapping_reader(key_type: type, kind: _Kind, rules: _Rules) -> Callable[[Any], Any]:
    if key_type not in (str, int):
        raise TypeError(f"JSON has no keys of {key_type}")

    def read(data: Any) -> Any:
        if type(data) is not dict:
            raise _WrongValue
        items = {key: _item(key, item, kind, rules.largest) for key, item in data.items()}
        return items if key_type is str else {int(key): item for key, item in items.items()}

    return read


def _item(key: str, value: Any, kind: _Kind, largest: float) -> Any:
    found = type(value)
    if found in kind.plain and (found is not int or -largest <= value < largest):
        return value
    if kind.read is None:
        raise _WrongValue("has the wrong type", key)
    return _inside(key, kind.read, value)


def decoded_object(text: bytes | str, name: str) -> dict[str, Any]:
    """Decode a JSON object.

    Args:
        text: JSON.
        name: How messages name it.

    Raises:
        InputError: The text is not JSON, or it is no object.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not JSON") from error
    if not isinstance(data, dict):
        raise InputError(f"{name} is not a JSON object")
    return data
