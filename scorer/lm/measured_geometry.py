"""The KV cache that a model fills, from its module run unevaluated on two tokens.

Nothing is computed: MLX builds the graph of a forward pass, whose arrays have shapes before they
have values. It costs the same for a skeleton without weights as for a loaded model.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn

from scorer.common.error_text import named_line
from scorer.common.errors import InputError
from scorer.lm.caches import filled_labels, fresh_caches, holds_kv, is_filled, walk
from scorer.lm.load import token_embedding, vocab_rows
from scorer.lm.skeleton import build_skeleton, building_limits
from scorer.lm.split_model import SplitModel
from scorer.models.config import decode_object, read_small
from scorer.models.custom_code import Consent, model_code
from scorer.models.kept_geometry import Measured, NotBuilt, Outcome, config_key
from scorer.spec.geometry import KVGeometry, KVLayer

NO_KV = (
    "this model keeps no keys and values, so there is no KV cache to quantize",
    "pick a model with attention layers; `qfid models` lists the cached ones",
)
_HEADS = ("n_heads", "num_heads", "num_attention_heads", "n_head", "q_num_heads")
# What a config that is wrong raises, wherever it is built. A package or a device that is missing
# raises something else.
_OF_THE_CONFIG = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
# Modules of a model that look at values, one kind at a time.
_MOST_PASSED_OVER = 4


class _Traced(NamedTuple):
    """What a trace of a model shows.

    Attributes:
        geometry: Of the caches it fills.
        labels: Of these caches, see :func:`scorer.lm.caches.filled_labels`.
        columns: Of its logits; None where it returns no array.
    """

    geometry: KVGeometry
    labels: tuple[str, ...]
    columns: int | None


def measured_geometry(split: SplitModel) -> KVGeometry:
    """The geometry of the caches that a model fills; ``total_layers`` counts its caches.

    The geometry and the labels of these caches are kept with the model.

    Raises:
        InputError: None of its caches holds keys and values.
    """
    traced = _traced(split.model)
    if not traced.geometry.layers:
        raise InputError(*NO_KV)
    split.kv_labels, split.geometry = traced.labels, traced.geometry
    return traced.geometry


def measure_folder(folder: Path, *, allow_custom_code: Consent = False) -> tuple[str, Outcome]:
    """Measure a model from its ``config.json``; its weights need not be there.

    Args:
        folder: The model's folder.
        allow_custom_code: Whether the Python file that ``config.json`` names may run.

    Returns:
        The key that the outcome is kept under, and the outcome.

    Raises:
        InputError: A file cannot be read, a size is out of range, the code was not allowed or
            fails, or building takes too long or something that is not here: what must not be kept.
    """
    content = read_small(folder / "config.json")
    config = decode_object(content, "config.json")
    code = model_code(config)
    key = config_key(content, None if code is None else read_small(folder / code))
    try:
        module = build_skeleton(folder, config, allow_custom_code=allow_custom_code)
        geometry, _, columns = _traced_skeleton(module)
    except InputError as error:
        if code is None and isinstance(error.__cause__, _OF_THE_CONFIG):
            return key, NotBuilt(error.message, _without_the_rest(folder, config))
        raise
    with contextlib.suppress(AttributeError, TypeError):
        layers: Any = module.layers
        geometry = dataclasses.replace(geometry, total_layers=len(layers))
    return key, Measured(
        geometry,
        vocab_rows(module) or columns,
        _embedding_width(module),
        max(_integers(module, _HEADS), default=None),
    )


def _without_the_rest(folder: Path, config: dict[str, Any]) -> KVGeometry | None:
    """The caches of a model whose config lacks values that they do not depend on."""
    try:
        module = build_skeleton(folder, config, allow_custom_code=False, stand_ins=True)
        return _traced_skeleton(module).geometry
    except InputError:
        return None


def _traced_skeleton(module: nn.Module) -> _Traced:
    """As :func:`_traced`.

    Raises:
        InputError: The module does not run, or takes too long.
    """
    try:
        with building_limits():
            return _traced(module)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"mlx-lm cannot run what its config.json describes: {named_line(error)}",
            "the file is damaged, or made for another version of mlx-lm",
        ) from error


def _traced(model: nn.Module) -> _Traced:
    """Trace a model on tokens (1, 2) int32."""
    found: list[_Traced] = []

    def run(tokens: mx.array) -> mx.array:
        caches = fresh_caches(model)
        logits: Any = model(tokens, cache=caches)
        geometry = _geometry_of(model, caches)
        found.append(_Traced(geometry, filled_labels(caches), _columns(logits)))
        return tokens

    _unevaluated(run, mx.zeros((1, 2), mx.int32))
    return found[-1]


def _columns(logits: Any) -> int | None:
    """V of logits (B, T, V) of any float dtype; None for anything but an array."""
    return int(logits.shape[-1]) if isinstance(logits, mx.array) else None


def _geometry_of(model: nn.Module, caches: list[Any]) -> KVGeometry:
    ranks = set(_integers(model, ("kv_lora_rank",)))
    layers = []
    for entry in walk(caches):
        cache = entry.cache
        if not holds_kv(cache) or not is_filled(cache):
            continue
        k_dim, v_dim = int(cache.keys.shape[-1]), int(cache.values.shape[-1])
        window, kind = _window_of(cache)
        kv_heads = int(cache.keys.shape[1])
        if window is None and kv_heads == 1:
            # An index is the second cache of a layer and keeps no values, or zeros in their place.
            if entry.index[1:] > (0,) and v_dim in (0, k_dim):
                kind = "index"
            elif k_dim in ranks and v_dim != k_dim:
                kind = "latent"
        layers.append(KVLayer(kv_heads, k_dim, v_dim, window, kind))
    return KVGeometry(layers=tuple(layers), total_layers=len(caches))


def _window_of(cache: Any) -> tuple[int | None, str]:
    """Tokens a cache keeps at most, and its kind as geometry names it."""
    for name, kind in (("max_size", "sliding"), ("chunk_size", "chunked")):
        window = getattr(cache, name, None)
        if window:
            return int(window), kind
    return None, "full"


def _unevaluated(run: Callable[[mx.array], mx.array], tokens: mx.array) -> None:
    """Trace a function of tokens (1, 2) int32: whatever asks for a value of an array raises.

    Some expert layers route by values. Each such module is passed over, as if it returned what it
    is given, and the function is traced again.
    """
    from scorer.lm.build_patches import passed_over

    with contextlib.ExitStack() as left_out:
        for left in reversed(range(1 + _MOST_PASSED_OVER)):
            try:
                # vmap traces on every device; compile would first start g++ on a CPU, to see
                # whether there is a compiler, and compute where there is none.
                mx.vmap(run)(tokens[None])
                return
            except ValueError as error:
                kind = _module_that_failed(error.__traceback__)
                if "[eval]" not in str(error) or kind is None or not left:
                    raise
                left_out.enter_context(passed_over(kind))


def _module_that_failed(traceback: TracebackType | None) -> type[nn.Module] | None:
    """Class of the innermost module whose call an exception came out of."""
    kind = None
    while traceback is not None:
        frame = traceback.tb_frame
        owner = frame.f_locals.get("self")
        if frame.f_code.co_name == "__call__" and isinstance(owner, nn.Module):
            kind = type(owner)
        traceback = traceback.tb_next
    return kind


def _integers(model: nn.Module, names: tuple[str, ...]) -> Iterator[int]:
    """Positive integers that modules of a model hold under some names."""
    for module in model.modules():
        for name in names:
            value = module.__dict__.get(name)
            if type(value) is int and value > 0:
                yield value


def _embedding_width(module: nn.Module) -> int | None:
    weight = token_embedding(module)
    return None if weight is None else int(weight.shape[-1])
