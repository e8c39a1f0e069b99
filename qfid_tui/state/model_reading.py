"""Reads models from the cache. Every function reads files: call them in a thread."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qfid_tui.state.app_hints import error_text
from scorer.common.errors import QfidError
from scorer.models.info import ModelInfo
from scorer.models.listing import Unscorable, iter_models
from scorer.models.measuring import measured_models, never
from scorer.models.resolve import DEMO, resolve_model

if TYPE_CHECKING:
    from qfid_tui.state.choices import Choices
    from qfid_tui.state.weights_offer import WeightsInfo, WeightsOffer
    from scorer.models.sizes import ModelSizes
    from scorer.models.weight_precision import WeightPrecision
    from scorer.runs.shape_facts import ShapeFacts
    from scorer.spec.settings.weights import WeightsSource

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


def read_weights(
    model: ModelInfo, typed: Sequence[WeightsSource] = (), stop: Callable[[], bool] = never
) -> WeightsOffer:
    """What can be compared with a model: its relatives in the cache, and what can be made of it.

    A GGUF file in its folder is a relative too.

    Args:
        model: The model.
        typed: Further weights that are asked for; those that cannot be read are left out.
        stop: Asked ten times a second while relatives are looked for in a process of their own;
            once it is true there are none.
    """
    from qfid_tui.state.choices import MADE
    from qfid_tui.state.weights_offer import WeightsInfo, WeightsOffer
    from scorer.models.gguf.beside import gguf_beside, gguf_precision_of
    from scorer.models.precision import precision_of, read_precision
    from scorer.models.predicted_precision import predicted_from
    from scorer.models.relatives_apart import read_relatives
    from scorer.models.weight_layout import read_layout
    from scorer.spec.settings.weights import MadeWeights, StoredWeights

    asked = frozenset(source.key for source in (*MADE, *typed))
    try:
        layout = read_layout(model)
        own = _weights_info(model.name, precision_of(layout))
        shape = _shape_facts(model)
    except (QfidError, OSError, ValueError, KeyError) as error:
        return WeightsOffer(model.path, asked=asked, reason=_reason(error))
    known: dict[str, WeightsInfo] = {}
    reason = ""
    for source in (*MADE, *(each for each in typed if isinstance(each, MadeWeights))):
        try:
            precision = predicted_from(layout, model, source.format)
        except (QfidError, ValueError, KeyError) as error:
            reason = _reason(error)
        else:
            known[source.key] = _weights_info(source.name, precision)
    relatives, trouble = [], ""
    try:
        for each in read_relatives(model, lambda: QfidError("") if stop() else None):
            stored = StoredWeights(each.name)
            known[stored.key] = WeightsInfo(
                stored.name, each.precision, each.bits_per_weight, each.loaded_bytes, each.exact
            )
            relatives.append(stored)
    except QfidError as error:
        trouble = error_text(error) if error.message else ""
    for path, precision in gguf_beside(model):
        stored = StoredWeights(str(path))
        known[stored.key] = _weights_info(stored.name, precision)
        relatives.append(stored)
    for asked_for in typed:
        if isinstance(asked_for, StoredWeights) and asked_for.is_gguf:
            found = gguf_precision_of(model, Path(asked_for.model))
            if found is not None:
                known[asked_for.key] = _weights_info(asked_for.name, found)
        elif isinstance(asked_for, StoredWeights) and asked_for.key not in known:
            with contextlib.suppress(QfidError, OSError, ValueError, KeyError):
                info = resolve_model(asked_for.model, asked_for.revision, allow_custom_code=True)
                known[asked_for.key] = _weights_info(asked_for.name, read_precision(info))
    return WeightsOffer(
        model.path,
        own,
        shape,
        tuple(relatives),
        known,
        asked,
        "" if any(source.key in known for source in MADE) else reason,
        trouble,
    )


def _weights_info(name: str, precision: WeightPrecision) -> WeightsInfo:
    from qfid_tui.state.weights_offer import WeightsInfo

    return WeightsInfo(
        name,
        precision.line,
        precision.bits_per_weight,
        precision.loaded_bytes,
        precision.exact,
    )


def _shape_facts(model: ModelInfo) -> ShapeFacts:
    from scorer.models.sizes import model_sizes
    from scorer.runs.shape_facts import ShapeFacts

    sizes, geometry = model_sizes(model), model.geometry
    return ShapeFacts(
        sizes.hidden,
        sizes.inner,
        sizes.heads,
        sizes.vocab,
        geometry.total_layers,
        tuple(geometry.layers),
    )


def _reason(error: Exception) -> str:
    from scorer.common.error_text import first_line

    return error.message if isinstance(error, QfidError) else first_line(error)
