"""Which kinds of settings there are, and the way from a text to a setting of any kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from scorer.spec.settings.base import ComputePath, Setting
from scorer.spec.settings.grammar import SettingForm, parse_form, split_list, unknown
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.weights import WeightsSetting, from_any_folder

SettingsAsked = Iterable[Setting | str | int] | Setting | str | int
"""Settings as a program gives them: notations, widths, settings, or a string that lists them."""


class Parser(Protocol):
    """Makes a setting of one kind; arguments and errors as :func:`parse_setting` has them."""

    def __call__(
        self, form: SettingForm, *, group_size: int | None, start: int, path: ComputePath
    ) -> Setting:
        """The setting that is written so."""


KINDS: dict[str, Parser] = {
    KVSetting.kind: KVSetting.from_form,
    WeightsSetting.kind: WeightsSetting.from_form,
}
"""Kind of a :class:`~scorer.spec.settings.grammar.SettingForm` to its parser."""


def parse_setting(
    text: str,
    *,
    group_size: int | None = None,
    start: int = 0,
    path: ComputePath = "deployed",
) -> Setting:
    """Read one setting: ``8``, ``4:32``, ``k8v4:64@512~dequantized``.

    Args:
        text: The setting; also in the notation of mlx-quant-fidelity, ``stock:4:64``.
        group_size: Group size where the text names none; None for the default, in whose place
            a model may take a smaller one, see :meth:`Setting.resolved`.
        start: First tokens kept at full precision where the text names no number.
        path: ``deployed`` or ``dequantized`` where the text names none.

    Raises:
        InputError: The text is not a setting, names something that this version does not know,
            or holds a value that is not legal.
    """
    form = parse_form(text)
    parser = KINDS.get(form.kind)
    if parser is None:
        raise unknown(form, f"{form.kind}=")
    return parser(form, group_size=group_size, start=start, path=path)


def parse_settings(
    text: str,
    *,
    group_size: int | None = None,
    start: int = 0,
    path: ComputePath = "deployed",
) -> tuple[Setting, ...]:
    """Read a comma-separated list of settings; a setting named twice is kept once.

    Paths of weights are taken from the working directory and become absolute.

    Args:
        text: The list.
        group_size: As of :func:`parse_setting`, likewise the next two.
        start: Of a setting that names none.
        path: Of a setting that names none.

    Raises:
        InputError: The list is empty or one of its settings is not valid.
    """
    found = settings_asked(text, group_size=group_size, start=start, path=path)
    return tuple(dict.fromkeys(found))


def settings_asked(
    asked: SettingsAsked,
    *,
    group_size: int | None = None,
    start: int = 0,
    path: ComputePath = "deployed",
) -> tuple[Setting, ...]:
    """Read the settings that a program names, in their order.

    Paths of weights in notation are taken as :func:`parse_settings` takes them.

    Args:
        asked: The settings. A width such as 8 is a notation too.
        group_size: As of :func:`parse_setting`, likewise the next two.
        start: Of a setting that names none.
        path: Of a setting that names none.

    Raises:
        InputError: One is not valid.
    """
    if isinstance(asked, str):
        listed: Iterable[Setting | str | int] = split_list(asked)
    else:
        listed = (asked,) if isinstance(asked, Setting | int) else asked
    return tuple(
        one
        if isinstance(one, Setting)
        else from_any_folder(parse_setting(str(one), group_size=group_size, start=start, path=path))
        for one in listed
    )
