"""Reads and checks values of ``config.json``, which is untrusted input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scorer.common.errors import InputError
from scorer.common.inert_text import shown
from scorer.common.regular_files import open_regular
from scorer.models.lfs_pointers import refuse_pointer

MAX_LAYERS = 4096
MAX_HEADS = 65_536
MAX_WIDTH = 1 << 24
MAX_TOKENS = 1 << 40

_MAX_FILE_BYTES = 16 << 20


class ModelConfig:
    """One JSON object of a config, with methods that check the values they return.

    A key that is missing or ``null`` is absent, as for mlx-lm's optional fields.
    """

    __slots__ = ("data", "where")

    def __init__(self, data: dict[str, Any], where: str = "config.json") -> None:
        """Wrap a decoded object.

        Args:
            data: The object.
            where: How messages name it.
        """
        self.data = data
        self.where = where

    def optional_integer(self, *names: str, high: int = MAX_WIDTH) -> int | None:
        """The first of ``names`` that is present, or None.

        Raises:
            InputError: The value is no integer or lies outside 1 to ``high``.
        """
        for name in names:
            value = self.data.get(name)
            if value is not None:
                return self._checked(name, value, high)
        return None

    def _checked(self, name: str, value: object, high: int) -> int:
        if type(value) is not int:
            raise InputError(
                f"{self.where}: `{name}` is {shown(value)} where a whole number belongs", _HINT
            )
        if not 1 <= value <= high:
            raise InputError(
                f"{self.where}: `{name}` is {shown(value)}, outside 1 to {high}", _HINT
            )
        return value

    def text(self, name: str) -> str | None:
        """Return a string, or None if the key is absent.

        Raises:
            InputError: The value is not a string.
        """
        value = self.data.get(name)
        if value is not None and not isinstance(value, str):
            raise InputError(f"{self.where}: `{name}` is {shown(value)}, not a string", _HINT)
        return value

    def section(self, name: str) -> ModelConfig | None:
        """Return a nested object, or None if the key is absent.

        Raises:
            InputError: The value is not an object.
        """
        value = self.data.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise InputError(f"{self.where}: `{name}` is {shown(value)}, not an object", _HINT)
        return ModelConfig(value, f"{self.where}: `{name}`")


_HINT = "the file is damaged or not a language model's; download the model again"


def decode_object(text: bytes, name: str) -> dict[str, Any]:
    """Decode a JSON object.

    Raises:
        InputError: The bytes are not JSON or not an object; the message names ``name``.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(f"{name} is not valid JSON{line}", _HINT) from None
    if not isinstance(data, dict):
        raise InputError(f"{name} holds {shown(data)}, not a JSON object", _HINT)
    return data


def untagged(value: Any) -> Any:
    """A copy of decoded JSON in which floats that JSON has no numbers for are floats.

    transformers 5 writes infinities and NaN as ``{"__float__": "Infinity"}``; mlx-lm reads them.
    """
    if isinstance(value, list):
        return [untagged(each) for each in value]
    if not isinstance(value, dict):
        return value
    if tuple(value) == ("__float__",) and value["__float__"] in ("Infinity", "-Infinity", "NaN"):
        return float(value["__float__"])
    return {key: untagged(each) for key, each in value.items()}


def read_object(path: Path) -> dict[str, Any]:
    """Read a small JSON file that holds an object.

    Raises:
        InputError: The file cannot be read, is larger than 16 MiB, is a pointer of git-lfs, or is
            not a JSON object.
    """
    content = read_small(path)
    refuse_pointer(path, content[:40])
    return decode_object(content, path.name)


def read_small(path: Path) -> bytes:
    """Read a file as small as a configuration is.

    Raises:
        InputError: The file cannot be read or is larger than 16 MiB.
    """
    try:
        with open_regular(path) as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(f"`{path.name}` cannot be read: {error.strerror or error}", "") from None
    if len(content) > _MAX_FILE_BYTES:
        raise InputError(f"`{path.name}` is larger than a configuration can be", _HINT)
    return content
