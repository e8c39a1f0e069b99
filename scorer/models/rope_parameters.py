"""``rope_parameters``, where transformers 5 writes rotary base and scaling, in mlx-lm's names.

Most classes of mlx-lm know ``rope_theta`` and ``rope_scaling`` alone and drop ``rope_parameters``
without a word: the model is then built with the default base of its class. Where the meaning is
certain the values are given under the names that the class knows.

Source: ``PreTrainedConfig.convert_rope_params_to_dict`` and ``standardize_rope_params`` of
transformers 5.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

# Names under which classes of mlx-lm take the base: of all layers, of sliding layers.
_BASE = ("rope_theta", "rotary_emb_base")
_SLIDING_BASE = ("rope_local_base_freq", "rope_local_theta")
_PARTIAL = ("partial_rotary_factor", "rotary_pct")
ORIGINAL = "original_max_position_embeddings"
_FULL, _SLIDING = "full_attention", "sliding_attention"
# Kinds of scaling that transformers counts from the context before stretching, and where it does
# not stand in them takes it from the config.
FROM_ORIGINAL = ("llama3", "yarn", "longrope")
_NOT_SCALING = ("rope_theta", "partial_rotary_factor", "rope_type", "type")


def plain_rope_parameters(
    config: Mapping[str, Any], fields: Collection[str], required: Collection[str] = ()
) -> dict[str, Any]:
    """What a class of mlx-lm has to be given in place of ``rope_parameters``.

    Args:
        config: The part of ``config.json`` that the class is built from.
        fields: Names of the values that the class takes.
        required: Those among them that have to be given.

    Returns:
        Names of ``fields`` that ``config`` lacks, with their values. Empty where the class takes
        ``rope_parameters`` itself, and where kinds of layers have bases that it has no names for.
        What the config states under its plain name too is left as it is.
    """
    stated = config.get("rope_parameters")
    if not isinstance(stated, dict) or "rope_parameters" in fields:
        return {}
    by_type = {kind: part for kind, part in stated.items() if isinstance(part, dict)}
    # Without scaling a class may want to be told so.
    none = {"rope_scaling": None} if "rope_scaling" in required else {}
    if not by_type:
        return _lacking(config, none | _plain(config, stated, fields))
    if set(by_type) - {_FULL, _SLIDING}:
        return {}
    full = by_type[_FULL if _FULL in by_type else _SLIDING]
    found = none | _plain(config, full, fields)
    base = (by_type.get(_SLIDING) or full).get("rope_theta")
    if base != full.get("rope_theta"):
        local = _named(_SLIDING_BASE, fields)
        if local is None:
            return {}
        found[local] = base
    return _lacking(config, found)


def scaling_of(part: Mapping[str, Any]) -> dict[str, Any] | None:
    """The scaling of rotary positions that ``rope_parameters`` or ``rope_scaling`` states.

    Returns:
        Its values, with its type under both names that are in use; None for no scaling.
    """
    kind = part.get("rope_type") or part.get("type") or "default"
    rest = {name: value for name, value in part.items() if name not in _NOT_SCALING}
    return None if kind == "default" else {"rope_type": kind, "type": kind} | rest


def _plain(
    config: Mapping[str, Any], part: Mapping[str, Any], fields: Collection[str]
) -> dict[str, Any]:
    """The values of one kind of layers that a class has a name for."""
    scaling = scaling_of(part)
    if scaling is not None and scaling["type"] in FROM_ORIGINAL:
        original = config.get(ORIGINAL) or config.get("max_position_embeddings")
        scaling = {ORIGINAL: original} | scaling if original else scaling
    values = (
        (_named(_BASE, fields), part.get("rope_theta")),
        (_named(_PARTIAL, fields), part.get("partial_rotary_factor")),
        (_named(("rope_scaling",), fields), scaling),
        (_named((ORIGINAL,), fields), part.get(ORIGINAL)),
    )
    return {name: value for name, value in values if name is not None and value is not None}


def _named(names: tuple[str, ...], fields: Collection[str]) -> str | None:
    return next((name for name in names if name in fields), None)


def _lacking(config: Mapping[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if config.get(name) is None}
