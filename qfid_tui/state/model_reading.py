"""The models that can be chosen, read from the cache in blocks. Call it in a thread."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from scorer.common.errors import QfidError
from scorer.models.info import ModelInfo
from scorer.models.listing import Unscorable, iter_models
from scorer.models.resolve import DEMO, resolve_model

if TYPE_CHECKING:
    from qfid_tui.state.choices import Choices

_BLOCK_SECONDS = 0.1


def chosen_models(choices: Choices) -> tuple[list[ModelInfo | Unscorable], str]:
    """The demo and the model that is chosen already, and what is wrong with the latter, or ""."""
    found: list[ModelInfo | Unscorable] = [resolve_model(DEMO)]
    name = choices.model
    if name is None or name == DEMO:
        return found, ""
    try:
        info = resolve_model(name, choices.revision, allow_custom_code=choices.allow_custom_code)
    except QfidError as error:
        return found, f"{error.message}; {error.hint}" if error.hint else error.message
    # A folder goes by its path, as the job names it.
    return [*found, dataclasses.replace(info, name=name)], ""


def read_models() -> Iterator[list[ModelInfo | Unscorable]]:
    """Yield the models of the cache, ten times a second those read since."""
    block: list[ModelInfo | Unscorable] = []
    began = time.monotonic()
    for model in iter_models():
        block.append(model)
        if time.monotonic() - began >= _BLOCK_SECONDS:
            yield block
            block, began = [], time.monotonic()
    if block:
        yield block
