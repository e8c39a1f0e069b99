"""Reads models from the cache. Every function reads files: call them in a thread."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from qfid_tui.state.app_hints import error_text
from scorer.common.errors import QfidError
from scorer.models.info import ModelInfo
from scorer.models.listing import Unscorable, iter_models
from scorer.models.measuring import measured_models
from scorer.models.resolve import DEMO, resolve_model

if TYPE_CHECKING:
    from qfid_tui.state.choices import Choices
    from scorer.models.sizes import ModelSizes

_BLOCK_SECONDS = 0.1


def chosen_models(choices: Choices) -> tuple[list[ModelInfo | Unscorable], str]:
    """Find the built-in model and the chosen one.

    Returns:
        The models found, and the error of the chosen one in one line, or "".
    """
    found: list[ModelInfo | Unscorable] = [resolve_model(DEMO)]
    name = choices.model
    if name is None or name == DEMO:
        return found, ""
    try:
        info = resolve_model(name, choices.revision, allow_custom_code=True)
    except QfidError as error:
        return found, error_text(error)
    # A folder is named by its path, as in the job.
    return [*found, dataclasses.replace(info, name=name)], ""


def read_models() -> Iterator[list[ModelInfo | Unscorable]]:
    """Yield the models of the cache in blocks, about ten blocks a second."""
    return _in_blocks(iter_models(with_code=True))


def measure_models(
    models: Iterable[ModelInfo | Unscorable], stop: Callable[[], bool]
) -> Iterator[list[ModelInfo | Unscorable]]:
    """Measure the models whose geometry is a guess; yield them in blocks as they are measured.

    Args:
        models: The models of the list.
        stop: Asked between models; True ends it.
    """
    return _in_blocks(measured_models((m for m in models if isinstance(m, ModelInfo)), stop))


def _in_blocks(
    models: Iterable[ModelInfo | Unscorable],
) -> Iterator[list[ModelInfo | Unscorable]]:
    block: list[ModelInfo | Unscorable] = []
    began = time.monotonic()
    for model in models:
        block.append(model)
        if time.monotonic() - began >= _BLOCK_SECONDS:
            yield block
            block, began = [], time.monotonic()
    if block:
        yield block


def read_sizes(model: ModelInfo) -> ModelSizes | None:
    """Read the sizes of a model from its config and weight headers; None if they are unreadable."""
    from scorer.models.sizes import model_sizes

    try:
        return model_sizes(model)
    except (QfidError, OSError, ValueError, KeyError):
        return None


def gone_models(
    shown: Iterable[ModelInfo | Unscorable], found: Iterable[ModelInfo | Unscorable]
) -> set[str]:
    """Names of models that are shown and are no more.

    Args:
        shown: The models of the list.
        found: The models of the cache now.
    """
    names = {model.name for model in found}
    return {
        model.name
        for model in shown
        if model.name not in names and not (isinstance(model, ModelInfo) and model.path.exists())
    }
