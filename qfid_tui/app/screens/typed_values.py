"""The prompts of the workbench: a setting in notation, and a value of an option."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qfid_tui.app.screens.prompt import PromptScreen
from qfid_tui.state.kv_cost import kv_cost, short_bytes
from qfid_tui.state.run_options import Option, put, value_of
from qfid_tui.words.about_line import setting_text
from scorer.report.formats.inline import count
from scorer.spec.settings.registry import parse_settings

if TYPE_CHECKING:
    from qfid_tui.state.choices import Choices
    from scorer.spec.geometry import KVGeometry
    from scorer.spec.settings.base import Setting

Prompt = tuple[PromptScreen, Callable[[str | None], None]]
"""A screen to push, and the function that receives its answer."""

_NOTATION = """\
k8v4, k16v4    keys at 8 bits or left as they are (16), values at 4
4:32,6         two settings: 4 bits in groups of 32, and 6 bits
4@512          the first 512 tokens at full precision
4~dequantized  the quantizer alone; `?` outside of this prompt says more"""


def setting_prompt(
    choices: Choices, geometry: KVGeometry | None, take: Callable[[Setting], None]
) -> Prompt:
    """Ask for settings in notation.

    Args:
        choices: Give the group size, the start and the path where the notation has none.
        geometry: The chosen model's, for costs; None if it is not known.
        take: Called with each setting, unless the user leaves the prompt.
    """

    def parsed(text: str) -> list[Setting]:
        settings = parse_settings(
            text,
            group_size=choices.asked_group,
            start=choices.start,
            path=choices.path,  # type: ignore[arg-type]  # checked by the setting
        )
        exact = geometry if geometry is not None and geometry.exact else None
        return [setting if exact is None else setting.resolved(exact) for setting in settings]

    def meaning(text: str) -> str:
        if not text.strip():
            return ""
        settings = parsed(text)
        if geometry is not None and geometry.layers and geometry.exact:
            for setting in settings:
                setting.check(geometry)
        setting, *others = settings
        if others:
            return f"{len(settings)} settings: {', '.join(each.key for each in settings)}"
        said = setting_text(setting)
        if geometry is None or not geometry.layers:
            return said
        cost = kv_cost(geometry, setting)
        per_token, at_32k = count(cost.per_token), short_bytes(cost.at[1])
        return f"{said}: {cost.sign}{per_token} B/token, 32k take {cost.sign}{at_32k}"

    def answered(text: str | None) -> None:
        if text is not None and text.strip():
            for setting in parsed(text):
                take(setting)

    return PromptScreen("Add a setting", "", _NOTATION, meaning, takes_list=True), answered


def option_prompt(option: Option, choices: Choices, take: Callable[[Any], None]) -> Prompt:
    """Ask for a value of an option.

    Args:
        option: An option whose value can be typed.
        choices: The choices that the value must not contradict.
        take: Called with the value, unless the user leaves the prompt.
    """
    read = option.typed
    assert read is not None

    def meaning(text: str) -> str:
        value = read(text)
        put(choices, option, value)
        return f"{option.label}: {option.shown(value)}"

    def answered(text: str | None) -> None:
        if text is not None:
            take(read(text))

    now = value_of(choices, option)
    return PromptScreen(
        option.label.capitalize(), "all" if now is None else str(now), option.explained, meaning
    ), answered
