"""What mlx-lm's classes take of ``config.json``, and what the modules built from them read.

A class of arguments is a dataclass: ``BaseModelArgs.from_dict`` drops every key that is no field
of it. A field that no code reads has as little effect.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from scorer.models.rope_parameters import plain_rope_parameters

# Objects inside a config whose own keys are followed.
_FOLLOWED = ("rope_scaling", "rope_parameters")


@dataclass(slots=True)
class Arguments:
    """One object of arguments, and the part of the config that it was made of.

    Attributes:
        own: Its class.
        stated: That part of the config.
        fields: Names of the values that the class takes.
        added: What was given to it under the names it knows, see :mod:`rope_parameters
            <scorer.models.rope_parameters>`.
        read: Names of the values that were read of it so far, with those of the objects in it:
            ``rope_scaling.factor``.
        defaults: Names inside those objects that are not stated, with the values that were used
            in their place, as far as the reader named one.
        values: The object; None while it is made.
    """

    own: type
    stated: dict[str, Any]
    fields: frozenset[str]
    added: dict[str, Any]
    read: set[str] = field(default_factory=set)
    defaults: dict[str, Any] = field(default_factory=dict)
    values: Any = None

    @property
    def module(self) -> str:
        """Name of the module of mlx-lm that the class stands in."""
        return self.own.__module__.rpartition(".")[2]

    @property
    def required(self) -> frozenset[str]:
        """Names of the values that have to be given."""
        return _required(self.own)

    def default(self, name: str) -> Any:
        """The value that the class has for a name that is not stated; None without one."""
        default = inspect.signature(self.own).parameters[name].default
        return None if default is inspect.Parameter.empty else default

    def stop_recording(self) -> None:
        """Let the object be one of its own class again; ``read`` stays as it is."""
        object.__setattr__(self.values, "__class__", self.own)


def recorded_arguments(
    original: Callable[[type, Mapping[str, Any]], Any],
    cls: type,
    stated: Mapping[str, Any],
    found: list[Arguments],
) -> Any:
    """The arguments that a class makes of a part of a config, with what it would drop.

    Args:
        original: ``BaseModelArgs.from_dict`` as a function of class and config.
        cls: The class.
        stated: The part of the config.
        found: What is recorded of it is appended here.

    Returns:
        An instance of a subclass that records what is read of it.
    """
    fields = frozenset(inspect.signature(cls).parameters)
    added = plain_rope_parameters(stated, fields, _required(cls))
    arguments = Arguments(cls, dict(stated), fields, added)
    given = arguments.stated | arguments.added
    for name in _FOLLOWED:
        if isinstance(given.get(name), dict):
            given[name] = _Followed(given[name], name, arguments)
    arguments.values = original(_recording(cls, arguments.read), given)
    found.append(arguments)
    return arguments.values


def _required(cls: type) -> frozenset[str]:
    parameters = inspect.signature(cls).parameters.values()
    return frozenset(each.name for each in parameters if each.default is inspect.Parameter.empty)


def _recording(cls: type, read: set[str]) -> type:
    def getter(self: Any, name: str) -> Any:
        read.add(name)
        return cast("Any", cls).__getattribute__(self, name)

    return type(cls.__name__, (cls,), {"__module__": cls.__module__, "__getattribute__": getter})


class _Followed(dict[str, Any]):
    """An object of a config that records which of its keys are read."""

    def __init__(self, values: dict[str, Any], name: str, of: Arguments) -> None:
        super().__init__(values)
        self._name, self._read, self._defaults = name, of.read, of.defaults

    def _all_read(self) -> None:
        self._read.update(f"{self._name}.{key}" for key in super().keys())

    def __getitem__(self, key: str) -> Any:
        self._read.add(f"{self._name}.{key}")
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self._read.add(f"{self._name}.{key}")
        if key not in self:
            self._defaults[f"{self._name}.{key}"] = default
        return super().get(key, default)

    def __iter__(self) -> Any:
        self._all_read()
        return super().__iter__()

    def keys(self) -> Any:
        self._all_read()
        return super().keys()

    def values(self) -> Any:
        self._all_read()
        return super().values()

    def items(self) -> Any:
        self._all_read()
        return super().items()

    def copy(self) -> dict[str, Any]:
        self._all_read()
        return dict(super().items())
