"""The file that keeps the choices for the next session.

The module imports next to nothing, because the first frame waits for :func:`kept_theme`; the rest
imports what it needs when it is called.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qfid_tui.state.choices import Choices

_THEME = re.compile(r'"theme": "([a-z-]{1,40})"')
_MOST = 1 << 16
_MOST_SETTINGS = 64
_NEVER_SAVED = ("force", "revision")


def choices_file() -> Path:
    """Path of the file: ``$QFID_DATA_DIR/app.json``, else in the user's configuration folder.

    Raises:
        InputError: There is no such folder, because the user has no home folder.
    """
    from scorer.common.folders import choices_folder

    return choices_folder() / "app.json"


def kept_theme() -> str | None:
    """Name of the theme of the last session, read without a JSON parser; None for none."""
    from scorer.common.errors import InputError

    try:
        with choices_file().open(encoding="utf-8", errors="replace") as file:
            found = _THEME.search(file.read(_MOST))
    except (OSError, InputError):
        return None
    return None if found is None else found[1]


def load_choices() -> Choices:
    """The choices of the last session; the default of each that is missing or not valid."""
    import json

    from qfid_tui.state.choices import Choices
    from scorer.common.errors import InputError

    try:
        data: Any = json.loads(choices_file().read_text("utf-8"))
    except (OSError, ValueError, RecursionError, InputError):
        data = None
    if not isinstance(data, dict):
        return Choices()
    values: dict[str, Any] = {}
    for name, kinds in _kinds().items():
        value = data.get(name)
        if name in data and type(value) in kinds and _is_valid(name, value):
            values[name] = tuple(value) if isinstance(value, list) else value
    choices = Choices(**values)
    try:
        choices.check()
    except InputError:
        # The model is kept even if the options contradict each other.
        return Choices(model=choices.model, theme=choices.theme, keys=choices.keys)
    return choices


def save_choices(choices: Choices) -> bool:
    """Write the choices for the next session; False if they cannot be written."""
    import json

    from scorer.common.atomic_files import write_atomic
    from scorer.common.errors import QfidError

    data = {name: getattr(choices, name) for name in _kinds()}
    try:
        path = choices_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(data, indent=1) + "\n")
    except (OSError, QfidError):
        return False
    return True


def _is_valid(name: str, value: Any) -> bool:
    """Whether a value of the right type can be chosen."""
    from qfid_tui.state.choices import WIDTHS

    if name == "ticked":
        return all(type(bits) is int and bits in WIDTHS for bits in value)
    if name == "keys":
        return all(isinstance(key, str) and key.strip(", ") for key in value.values())
    if isinstance(value, list):
        return len(value) <= _MOST_SETTINGS and all(map(_is_notation, value))
    return True


def _is_notation(text: Any) -> bool:
    """Whether a text is a setting in its canonical notation."""
    from scorer.common.errors import InputError
    from scorer.spec.settings.registry import parse_setting

    if not isinstance(text, str):
        return False
    try:
        return parse_setting(text).key == text
    except InputError:
        return False


def _kinds() -> dict[str, tuple[type, ...]]:
    """Names of the saved fields, each with the types that its JSON value may have."""
    from collections.abc import Mapping
    from typing import get_args, get_origin, get_type_hints

    from qfid_tui.state.choices import Choices

    in_json = {tuple: list, Mapping: dict}
    found: dict[str, tuple[type, ...]] = {}
    for name, hint in get_type_hints(Choices).items():
        if name in _NEVER_SAVED:
            continue
        origin = get_origin(hint)
        found[name] = (in_json[origin],) if origin in in_json else get_args(hint) or (hint,)
    return found
