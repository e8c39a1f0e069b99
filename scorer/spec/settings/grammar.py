"""The grammar of settings: from the text of one to its parts, whatever its kind.

Source: definitions, "Notation", whose names the rules below bear. What the parts mean is for the
kind to say, see :mod:`scorer.spec.settings.registry`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from scorer.common.errors import InputError
from scorer.spec.quantizers.known import without_alias

NOTATION_HINT = "write BITS, kBvB, then :GROUP @START ~PATH as needed: 8, 4:32, k8v4, 4@512"
STORED_HINT = (
    "write w=org/name, w=/path or w=./name.gguf, then +8 as needed; "
    "in a path %20 is a space, %2B a +, %2C a comma"
)

_INT = r"[0-9]+"
_NUM = rf"{_INT}(?:\.{_INT})?"
_NAME = r"[a-z](?:[a-z_-]*[a-z])?"
_VALUE = r"[A-Za-z0-9._-]+"
_MODE = r"mxfp4|mxfp8|nvfp4"
_OPTION = rf"(?:keep|runtime)={_VALUE}"
_PARAM = rf"(?!{_OPTION}){_NAME}={_VALUE}"
_PATH = r"(?:\.{0,2}/)(?:[^%,+@:~\s]|%[0-9A-Fa-f]{2})*"
_REPO = rf"{_VALUE}/{_VALUE}(?:@{_VALUE})?"
# Names that mean something else at this place.
_TAKEN = r"(?!w|(?:k|cache|recipe|keep|runtime)(?![a-z_-]))"
_SIDE = (
    rf"(?:{_INT}(?::{_INT})?"
    rf"|{_TAKEN}(?:{_MODE}|{_NAME})(?:{_NUM})?(?::{_INT})?(?::{_PARAM})*)"
)
_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
_STORE = (
    rf"(?:k(?P<k>{_INT})v(?P<v>{_INT})(?::(?P<group>{_INT}))?"
    rf"|cache=(?P<cache>{_IDENTIFIER}(?:\.{_IDENTIFIER})*:{_IDENTIFIER}(?::{_PARAM})*)"
    rf"|recipe=(?P<recipe>{_PATH})"
    rf"|(?P<keys>{_SIDE})(?:/(?P<values>{_SIDE}))?)"
)
_KV_PART = re.compile(
    rf"{_STORE}(?P<options>(?::{_OPTION})*)(?:@(?P<start>{_INT}))?(?:~(?P<path>{_NAME}))?"
)
_WEIGHTS_PART = re.compile(rf"(?P<weights>w(?:{_INT}(?::{_INT})?|{_MODE}|=(?:{_PATH}|{_REPO})))")
_SIDE_PARTS = re.compile(
    rf"(?P<name>{_MODE}|{_NAME})?(?P<number>{_NUM})?(?::(?P<group>{_INT}))?"
    rf"(?P<params>(?::{_PARAM})*)"
)

Kind = Literal["kv", "weights", "cache", "recipe"]


@dataclass(frozen=True, slots=True)
class SideForm:
    """One side of the cache as it is written.

    Attributes:
        name: Name of the quantizer; "" where a number of bits stands alone.
        number: The number behind the name, or alone; "" for none.
        group: The group size; None where it is not written.
        params: Further parameters, name and value, in the order written.
    """

    name: str
    number: str
    group: int | None
    params: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SettingForm:
    """A setting as it is written.

    Attributes:
        text: All of it.
        weights: The part about weights, ``w4`` or ``w=org/name@1a2b3c``; "" for none.
        sides: Keys and values; None where a cache or a recipe takes their place, or nothing.
        cache: ``MODULE:ATTR`` and parameters of a cache of one's own; "" for none.
        recipe: Path of a recipe, escapes as written; "" for none.
        options: ``keep`` and ``runtime`` with their values, in the order written.
        start: First tokens kept at full precision; None where it is not written.
        path: Name of the compute path; None where it is not written.
    """

    text: str
    weights: str = ""
    sides: tuple[SideForm, SideForm] | None = None
    cache: str = ""
    recipe: str = ""
    options: tuple[tuple[str, str], ...] = ()
    start: int | None = None
    path: str | None = None

    @property
    def kind(self) -> Kind:
        """The kind of setting that is written so."""
        if self.weights:
            return "weights"
        return "cache" if self.cache else "recipe" if self.recipe else "kv"


def parse_form(text: str) -> SettingForm:
    """Cut the text of one setting into its parts.

    Args:
        text: One setting, also in the notation of mlx-quant-fidelity: ``stock:4:64``.

    Raises:
        InputError: It follows no rule of the grammar, or holds a number of 10 digits or more.
    """
    text = text.strip()
    rest, weights = without_alias(text), ""
    if rest.startswith("w"):
        match = _WEIGHTS_PART.match(rest)
        if match is None:
            raise _no_setting(text)
        weights, rest = match["weights"], rest[match.end() :]
        if not rest:
            return SettingForm(text, weights)
        if not rest.startswith("+"):
            raise _no_setting(text)
        rest = rest[1:]
    match = _KV_PART.fullmatch(rest)
    if match is None:
        raise _no_setting(text)
    return SettingForm(
        text,
        weights,
        _sides(match, text),
        match["cache"] or "",
        match["recipe"] or "",
        _pairs(match["options"]),
        _whole(match["start"], text),
        match["path"],
    )


def split_list(text: str) -> list[str]:
    """The settings of a comma-separated list; no setting holds a comma.

    Raises:
        InputError: There is none.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise InputError("no setting was given", NOTATION_HINT)
    return parts


def unknown(form: SettingForm, name: str) -> InputError:
    """The error for notation that the grammar has and this version cannot score."""
    return InputError(f"setting `{form.text}`: this version does not know `{name}`", NOTATION_HINT)


def _sides(match: re.Match[str], text: str) -> tuple[SideForm, SideForm] | None:
    if match["k"] is not None:
        group = _whole(match["group"], text)
        numbers = (match["k"], match["v"])
        for number in numbers:
            _whole(number, text)
        return SideForm("", numbers[0], group), SideForm("", numbers[1], group)
    if match["keys"] is None:
        return None
    keys = _side(match["keys"], text)
    return keys, keys if match["values"] is None else _side(match["values"], text)


def _side(part: str, text: str) -> SideForm:
    match = _SIDE_PARTS.fullmatch(part)
    assert match is not None
    number = match["number"] or ""
    for digits in number.split("."):
        _whole(digits or None, text)
    return SideForm(
        match["name"] or "", number, _whole(match["group"], text), _pairs(match["params"])
    )


def _pairs(part: str) -> tuple[tuple[str, str], ...]:
    """``:a=1:b=2`` as pairs."""
    pairs = (item.partition("=") for item in part.split(":") if item)
    return tuple((name, value) for name, _, value in pairs)


def _whole(digits: str | None, text: str) -> int | None:
    if digits is not None and len(digits) > 9:
        raise InputError(f"`{text}` holds an absurd number", NOTATION_HINT)
    return None if digits is None else int(digits)


def _no_setting(text: str) -> InputError:
    of_weights = text.startswith("w=") or text.lower().endswith(".gguf")
    hint = STORED_HINT if of_weights else NOTATION_HINT
    return InputError(f"`{text}` is not a setting", hint)
