"""Reading ``config.json``: checked numbers out of a file that anyone may have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scorer.common.errors import InputError
from scorer.common.inert_text import shown
from scorer.common.regular_files import open_regular

MAX_LAYERS = 4096
MAX_HEADS = 65_536
MAX_WIDTH = 1 << 24
MAX_TOKENS = 1 << 40

_MAX_FILE_BYTES = 16 << 20


class ModelConfig:
    """One JSON object of a config, with reads that check what they find.

    A key that is missing or ``null`` counts as absent, as it does for mlx-lm's optional fields.
    """

    __slots__ = ("_defaults", "_renamed", "data", "where")

    def __init__(
        self,
        data: dict[str, Any],
        where: str = "config.json",
        defaults: dict[str, int] | None = None,
        renamed: dict[str, str] | None = None,
    ) -> None:
        """Wrap a decoded object.

        Args:
            data: The object.
            where: How messages name it.
            defaults: Values of integer keys that are absent, by the file's own names.
            renamed: The names this file uses for keys that are read by their usual name.
        """
        self.data = data
        self.where = where
        self._defaults = defaults or {}
        self._renamed = renamed or {}

    def optional_integer(self, *names: str, low: int = 1, high: int = MAX_WIDTH) -> int | None:
        """The first of ``names`` that is present, else the first that has a default, else None.

        Raises:
            InputError: The value is no integer or lies outside ``low`` to ``high``.
        """
        own = [self._renamed.get(name, name) for name in names]
        for name in own:
            value = self.data.get(name)
            if value is not None:
                return self._checked(name, value, low, high)
        for name in own:
            if name in self._defaults:
                return self._defaults[name]
        return None

    def integer(self, *names: str, low: int = 1, high: int = MAX_WIDTH) -> int:
        """As :meth:`optional_integer`, of a value that must be there.

        Raises:
            InputError: It is absent, no integer, or out of range.
        """
        value = self.optional_integer(*names, low=low, high=high)
        if value is None:
            raise self.missing(names[0])
        return value

    def missing(self, name: str) -> InputError:
        """The error that says that ``name`` is absent."""
        return InputError(f"{self.where} has no `{self._renamed.get(name, name)}`", _HINT)

    def _checked(self, name: str, value: object, low: int, high: int) -> int:
        if type(value) is not int:
            raise InputError(
                f"{self.where}: `{name}` is {shown(value)} where a whole number belongs", _HINT
            )
        if not low <= value <= high:
            raise InputError(
                f"{self.where}: `{name}` is {shown(value)}, outside {low} to {high}", _HINT
            )
        return value

    def text(self, name: str) -> str | None:
        """A string, or None where the key is absent.

        Raises:
            InputError: The value is no string.
        """
        value = self.data.get(name)
        if value is not None and not isinstance(value, str):
            raise InputError(f"{self.where}: `{name}` is {shown(value)}, not a string", _HINT)
        return value

    def texts(self, name: str, count: int | None = None) -> list[str] | None:
        """A list of strings, or None where the key is absent.

        Args:
            name: The key.
            count: How many there must be at least, or None.

        Raises:
            InputError: The value is no list of strings, or is too short.
        """
        value = self.data.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise InputError(f"{self.where}: `{name}` is not a list of strings", _HINT)
        self._long_enough(name, value, count)
        return value

    def integers(
        self, name: str, count: int | None = None, *, low: int = 0, high: int = MAX_WIDTH
    ) -> list[int] | None:
        """A list of integers, or None where the key is absent.

        Raises:
            InputError: The value is no list of integers in range, or is shorter than ``count``.
        """
        value = self.data.get(name)
        if value is None:
            return None
        if not isinstance(value, list):
            raise InputError(f"{self.where}: `{name}` is not a list of whole numbers", _HINT)
        self._long_enough(name, value, count)
        return [self._checked(name, item, low, high) for item in value]

    def _long_enough(self, name: str, value: list[Any], count: int | None) -> None:
        if count is not None and len(value) < count:
            raise InputError(
                f"{self.where}: `{name}` has {len(value)} entries for {count} layers", _HINT
            )

    def section(self, name: str) -> ModelConfig | None:
        """A nested object, or None where the key is absent.

        Raises:
            InputError: The value is no object.
        """
        value = self.data.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise InputError(f"{self.where}: `{name}` is {shown(value)}, not an object", _HINT)
        return ModelConfig(value, f"{self.where}: `{name}`")

    def flag(self, name: str, default: bool = False) -> bool:
        """A truth value.

        Raises:
            InputError: The value is neither true nor false.
        """
        value = self.data.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise InputError(f"{self.where}: `{name}` is {shown(value)}, not true or false", _HINT)
        return value


_HINT = "the file is damaged or not a language model's; download the model again"


def decode_object(text: bytes, name: str) -> dict[str, Any]:
    """Decode a JSON object.

    Raises:
        InputError: The bytes are not JSON or not an object; says so about ``name``.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(f"{name} is not valid JSON{line}", _HINT) from None
    if not isinstance(data, dict):
        raise InputError(f"{name} holds {shown(data)}, not a JSON object", _HINT)
    return data


def read_object(path: Path) -> dict[str, Any]:
    """Read a small JSON file that holds an object.

    Raises:
        InputError: The file cannot be read, is larger than 16 MiB, or is no JSON object.
    """
    try:
        with open_regular(path) as file:
            text = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(f"`{path.name}` cannot be read: {error.strerror or error}", "") from None
    if len(text) > _MAX_FILE_BYTES:
        raise InputError(f"`{path.name}` is larger than a configuration can be", _HINT)
    return decode_object(text, path.name)
