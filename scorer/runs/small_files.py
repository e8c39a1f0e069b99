"""The small JSON files of a run. Pure standard library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scorer.common.errors import InputError
from scorer.common.json_reader import decoded_object


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a small file of a run.

    Raises:
        InputError: There is no such file, or it holds something else.
    """
    name = f"`{path.name}` of run `{path.parent.name}`"
    try:
        if not path.is_file() or path.is_symlink():
            raise InputError(f"{name} is missing")
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}") from error
    return decoded_object(text, name)
