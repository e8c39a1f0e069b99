"""The prompts of the workbench: a setting in notation, and a value of an option."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qfid_tui.app.screens.prompt import PromptScreen
from qfid_tui.state.kv_cost import kv_cost, short_bytes
from qfid_tui.state.run_options import Option, put, value_of
from qfid_tui.state.setting_names import short_name
from qfid_tui.words.about_line import setting_text
from scorer.common.errors import InputError
from scorer.report.formats.inline import count
from scorer.spec.amounts import bytes_word, parse_bytes, parse_tokens, shown_bytes, tokens_word
from scorer.spec.settings.registry import parse_settings
from scorer.spec.settings.weights import StoredWeights, WeightsSetting, sources_of

if TYPE_CHECKING:
    from qfid_tui.state.choices import Choices
    from qfid_tui.state.more_chunks import MoreChunks
    from scorer.spec.geometry import KVGeometry
    from scorer.spec.settings.base import Setting

Prompt = tuple[PromptScreen, Callable[[str | None], None]]
"""A screen to push, and the function that receives its answer."""

_NOTATION = """\
k8v4, k16v4    keys at 8 bits or left as they are (16), values at 4
4:32,6         two settings: 4 bits in groups of 32, and 6 bits
w4:32, w4+8    weights made of the model's own; with a KV setting
w=org/name     weights of a copy in the cache, w=/folder or w=/x.gguf
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
        _check_files(settings)
        exact = geometry if geometry is not None and geometry.exact else None
        return [setting if exact is None else setting.resolved(exact) for setting in settings]

    def meaning(text: str) -> str:
        if not text.strip():
            return ""
        settings = parsed(text)
        if geometry is not None and geometry.layers and geometry.exact:
            for setting in settings:
                setting.check(geometry)
        weights = [setting for setting in settings if isinstance(setting, WeightsSetting)]
        if weights:
            said = ", ".join(short_name(setting.key) for setting in settings)
            return f"{said}: judged by the bounds of weights"
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


def _check_files(settings: Sequence[Setting]) -> None:
    """Refuse a GGUF file that is not there, before a run is begun with it."""
    for source in sources_of(settings):
        if isinstance(source, StoredWeights) and source.is_gguf:
            path = Path(source.model)
            if not path.is_file():
                raise InputError(f"there is no file `{path}`", "give the path of a GGUF file")


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
        option.label.capitalize(), _written(now), option.explained, meaning
    ), answered


def _written(value: Any) -> str:
    """A value as one types it."""
    if isinstance(value, tuple):
        return ",".join(str(each).replace(",", "\\,") for each in value)
    return "all" if value is None else str(value)


def more_chunks_prompt(more: MoreChunks, add: Callable[[int], object]) -> Prompt:
    """Ask how many chunks to add to a run.

    Args:
        more: What it has, and what could be added.
        add: Called with the number, unless the user leaves the prompt.
    """

    def meaning(text: str) -> str:
        return more.words(more.read(text))

    def answered(text: str | None) -> None:
        if text is not None:
            add(more.read(text))

    what = "How many chunks are added to the run: a number, or all. Only these are scored."
    return PromptScreen("Add chunks", str(more.default), what, meaning), answered


_NO_LIMIT = ("none", "no limit", "")


def memory_prompt(now: int | None, take: Callable[[int | None], None]) -> Prompt:
    """Ask for the memory of a deployment.

    Args:
        now: Bytes now; None for no limit.
        take: Called with the bytes, None for no limit, unless the user leaves the prompt.
    """

    def read(text: str) -> int | None:
        return None if text.strip().lower() in _NO_LIMIT else parse_bytes(text, "memory")

    def meaning(text: str) -> str:
        found = read(text)
        return "no limit: everything fits" if found is None else shown_bytes(found)

    def answered(text: str | None) -> None:
        if text is not None:
            take(read(text))

    what = "What weights, KV cache and prefill may take: 16GB, 940MB, 8GiB; none for no limit."
    return PromptScreen("Memory", "" if now is None else bytes_word(now), what, meaning), answered


def context_prompt(now: int, take: Callable[[int], None]) -> Prompt:
    """Ask for the context of a deployment.

    Args:
        now: Tokens now.
        take: Called with the tokens, unless the user leaves the prompt.
    """

    def meaning(text: str) -> str:
        return f"{count(parse_tokens(text, 'context'))} tokens, prompt and answer together"

    def answered(text: str | None) -> None:
        if text is not None:
            take(parse_tokens(text, "context"))

    what = "Tokens of a sequence: 4096, or 32k (k = 1024)."
    return PromptScreen("Context", tokens_word(now), what, meaning), answered
