"""What a reader must know of the model that was scored: where it is not what its files say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scorer.common.inert_text import shown
from scorer.lm.load import LoadedModel
from scorer.lm.unused_config import added_sentence, unused_values
from scorer.models.info import ModelInfo
from scorer.models.repeated_tensors import untied_head
from scorer.models.weight_files import is_weight_file
from scorer.spec.geometry import KVGeometry


def model_warnings(
    info: ModelInfo, model: LoadedModel, geometry: KVGeometry, chunk_length: int
) -> tuple[str, ...]:
    """Warnings for the head of the report.

    Args:
        info: The resolved model.
        model: The loaded model, after a forward pass.
        geometry: Of the caches that it fills.
        chunk_length: Tokens of a chunk.
    """
    unused = [
        each.sentence(info.architecture) for each in unused_values(model.arguments, model.module)
    ]
    added = [added_sentence(each) for each in model.arguments]
    for each in model.arguments:
        each.stop_recording()
    window = unused_window(model.config, geometry, chunk_length)
    sentences = (_window_sentence(info, window, chunk_length), _head_sentence(info, model))
    found = [*unused, *added, *sentences]
    return tuple(dict.fromkeys(each for each in found if each is not None))


def unused_window(config: dict[str, Any], geometry: KVGeometry, chunk_length: int) -> int | None:
    """The sliding window that a config states, where chunks outgrow it and no layer has one.

    Args:
        config: The whole of ``config.json``.
        geometry: Of the caches that the model fills.
        chunk_length: Tokens of a chunk.
    """
    text = config.get("text_config")
    part = text if isinstance(text, dict) else config
    window, types = part.get("sliding_window"), part.get("layer_types")
    if type(window) is not int or not 0 < window < chunk_length:
        return None
    if part.get("use_sliding_window") is False:
        return None
    if isinstance(types, list) and not any("sliding" in str(each) for each in types):
        return None
    return None if any(layer.window is not None for layer in geometry.layers) else window


def _head_sentence(info: ModelInfo, model: LoadedModel) -> str | None:
    """Where the config does not say whether the output layer is the embedding, mlx-lm decides."""
    text = model.config.get("text_config")
    parts = [model.config, *([text] if isinstance(text, dict) else [])]
    stated = any(part.get("tie_word_embeddings") is not None for part in parts)
    if stated or any(path.endswith("lm_head") for path, _ in model.module.named_modules()):
        return None
    head = untied_head(info.path, filter(is_weight_file, map(_name, info.path.iterdir())))
    if head is None:
        return None
    return (
        f"config.json does not state `tie_word_embeddings`, and mlx-lm's `{info.architecture}` "
        f"drops {shown(head)}: logits are computed with the token embedding"
    )


def _name(path: Path) -> str:
    return path.name


def _window_sentence(info: ModelInfo, window: int | None, chunk_length: int) -> str | None:
    if window is None:
        return None
    return (
        f"config.json: `sliding_window` is {shown(window)}, which mlx-lm's `{info.architecture}` "
        f"does not use: in chunks of {chunk_length} tokens every layer sees all of them"
    )
