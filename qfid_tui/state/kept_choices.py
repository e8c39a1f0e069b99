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
    from qfid_tui.state.choices import Choices
    from scorer.common.errors import InputError

    data, _ = _read()
    values: dict[str, Any] = {}
    for name, kinds in _kinds().items():
        if name in data and _fits(name, data[name], kinds):
            value = data[name]
            values[name] = tuple(value) if isinstance(value, list) else value
    choices = Choices(**values)
    try:
        choices.check()
    except InputError:
        # The model is kept even if the options contradict each other.
        return Choices(model=choices.model, theme=choices.theme, keys=choices.keys)
    return choices


def choices_faults() -> list[str]:
    """What of the file cannot be used, a sentence each; it stays in the file as it is."""
    data, fault = _read()
    faults = [fault] if fault else []
    for name, kinds in _kinds().items():
        if name in data and not _fits(name, data[name], kinds):
            faults.append(f"`{name}` in app.json is not usable: the default is taken")
    return faults


def _read() -> tuple[dict[str, Any], str]:
    """The content of the file, empty where there is none; why it cannot be read, or ""."""
    import json

    from scorer.common.error_text import first_line
    from scorer.common.errors import InputError
    from scorer.common.inert_text import inert

    try:
        text = choices_file().read_text("utf-8")
    except (FileNotFoundError, InputError):
        return {}, ""
    except (OSError, ValueError) as error:
        return {}, f"app.json cannot be read and stays as it is: {inert(first_line(error))}"
    if not text.strip():
        return {}, ""
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        return {}, f"app.json is no JSON and stays as it is: {inert(first_line(error))}"
    if not isinstance(data, dict):
        return {}, "app.json holds no JSON object and stays as it is"
    return data, ""


def save_choices(choices: Choices, before: Choices | None = None) -> bool:
    """Write the choices for the next session.

    Only what was changed is written. The rest stays as the file has it: it may have been edited, or
    written by another session, meanwhile. What is not understood is kept: unknown names, and values
    that are not usable where nothing else was chosen.

    Args:
        choices: The choices.
        before: Those that were read from the file or last written to it; None to write all.

    Returns:
        False if they cannot be written, or the file that is there cannot be read.
    """
    import json

    from qfid_tui.state.choices import Choices
    from scorer.common.atomic_files import write_atomic
    from scorer.common.errors import QfidError

    data, fault = _read()
    if fault:
        return False
    defaults = Choices()
    for name, kinds in _kinds().items():
        own = getattr(choices, name)
        if before is not None and own == getattr(before, name) and name in data:
            continue
        unusable = name in data and not _fits(name, data[name], kinds)
        if not (unusable and own == getattr(defaults, name)):
            data[name] = own
    try:
        path = choices_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(data, indent=1) + "\n")
    except (OSError, QfidError):
        return False
    return True


def _fits(name: str, value: Any, kinds: tuple[type, ...]) -> bool:
    return type(value) in kinds and _is_valid(name, value)


def _is_valid(name: str, value: Any) -> bool:
    """Whether a value of the right type can be chosen."""
    from qfid_tui.state.choices import DEVICES, WIDTHS

    if name == "ticked":
        return all(type(bits) is int and bits in WIDTHS for bits in value)
    if name == "roles":
        return not value or _are_roles(value)
    if name == "target":
        return value in DEVICES
    if name in ("memory", "context", "parallel"):
        return value is None or value > 0
    if name == "keys":
        return all(isinstance(key, str) and key.strip(", ") for key in value.values())
    if name in ("texts", "lengths"):
        kind = str if name == "texts" else int
        return len(value) <= _MOST_SETTINGS and all(type(each) is kind for each in value)
    if isinstance(value, list):
        return len(value) <= _MOST_SETTINGS and all(map(_is_notation, value))
    return True


def _are_roles(text: str) -> bool:
    from scorer.common.errors import InputError
    from scorer.spec.roles import read_roles

    try:
        return ",".join(read_roles(text)) == text
    except InputError:
        return False


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
