"""Where the configs of two models differ in what changes numbers.

Only values that the architecture's class in mlx-lm takes are compared: it drops all others. Names,
token ids, dtypes and what serves training do not count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from scorer.common.inert_text import shown
from scorer.models.architecture_source import argument_defaults
from scorer.models.config import untagged
from scorer.models.config_geometry import text_config
from scorer.models.rope_parameters import (
    FROM_ORIGINAL,
    ORIGINAL,
    plain_rope_parameters,
    scaling_of,
)

_LENGTH = "max_position_embeddings"
# Compared elsewhere, or without effect on what a model computes.
_IGNORED = re.compile(
    r"model_type|architectures|vocab_size|tie_word_embeddings|(torch_)?dtype|quantization.*|"
    r"use_cache|initializer_range|.*dropout.*|.*_token_(id|index)|text_config|vision_config|"
    r"audio_config|max_position_embeddings|rope_.*|num_nextn_predict_layers|model_file|"
    r"max_window_layers|.*aux_loss.*|transformers_version|_name_or_path|auto_map|head_dim|"
    r"num_key_value_heads|seq_length|max_seq_?len.*"
)
# Of models that mlx-lm has no source of.
_USUAL = (
    "hidden_size num_hidden_layers intermediate_size num_attention_heads rms_norm_eps "
    "layer_norm_eps norm_eps hidden_act attention_bias mlp_bias sliding_window logits_scaling "
    "embedding_multiplier residual_multiplier attention_multiplier final_logit_softcapping "
    "attn_logit_softcapping query_pre_attn_scalar num_experts_per_tok num_local_experts"
).split()
_ROPE = (
    "rope_theta",
    "rotary_emb_base",
    "rope_local_base_freq",
    "rope_local_theta",
    "partial_rotary_factor",
    "rotary_pct",
    "rope_scaling",
    "rope_traditional",
)
# Written out by newer programs, and computed by the class where they are not there.
_COMPUTED = re.compile(r".*layer_types|.*sliding_window_pattern|.*_layers$|.*_pattern$")


def config_difference(
    reference: Mapping[str, Any], candidate: Mapping[str, Any], architecture: str
) -> str | None:
    """The first difference of two configs that changes what is computed.

    Args:
        reference: The whole of the reference's ``config.json``.
        candidate: The whole of the candidate's.
        architecture: The mlx-lm module that runs both.

    Returns:
        The difference, one line that speaks of the candidate as "its"; None if there is none.

    Raises:
        InputError: A size in a config is absurd.
    """
    mine, theirs = (_Values(each, architecture) for each in (reference, candidate))
    names = [name for name in mine.defaults if not _IGNORED.fullmatch(name)]
    for name in sorted(names, key=_first):
        one, other = mine.value(name), theirs.value(name)
        if not _equal(one, other) and not _is_computed(name, one, other):
            return _said(name, one, other)
    pairs = ((name, mine.derived(name), theirs.derived(name)) for name in _DERIVED)
    for name, one, other in (*pairs, *_rope(mine, theirs)):
        if not _equal(one, other):
            return _said(name, one, other)
    return None


def rope_values(config: Mapping[str, Any], architecture: str) -> dict[str, Any]:
    """Rotary base and scaling of a config under mlx-lm's own names; None for what it does not say.

    Args:
        config: The whole of ``config.json``.
        architecture: The mlx-lm module that runs it.
    """
    return _Values(config, architecture).rope


_DERIVED = ("num_key_value_heads", "head_dim")


class _Values:
    """The values of a config that the class of the architecture takes."""

    def __init__(self, config: Mapping[str, Any], architecture: str) -> None:
        whole = untagged(dict(config))
        self.part: dict[str, Any] = text_config(whole).data
        self._whole = whole
        found = dict(argument_defaults(architecture) or dict.fromkeys(_USUAL))
        kind = self.part.get("model_type")
        if isinstance(kind, str) and self.part is not whole:
            found = dict(argument_defaults(kind) or {}) | found
        self.defaults = found

    def value(self, name: str) -> Any:
        """The value of a name, or the default of the class."""
        for part in (self.part, self._whole):
            if (value := part.get(name)) is not None:
                return value
        return self.defaults.get(name)

    def derived(self, name: str) -> Any:
        """A size that follows from others where it is not stated."""
        if (stated := self.value(name)) is not None:
            return stated
        heads, hidden = self.value("num_attention_heads"), self.value("hidden_size")
        if name == "num_key_value_heads":
            return heads
        if type(heads) is int and type(hidden) is int and heads > 0:
            return hidden // heads
        return None

    @property
    def rope(self) -> dict[str, Any]:
        """Rotary base and scaling under mlx-lm's own names."""
        found = {name: self.value(name) for name in _ROPE}
        found |= plain_rope_parameters(self.part, _ROPE)
        scaling = found["rope_scaling"]
        found["rope_scaling"] = self._scaling(scaling) if isinstance(scaling, dict) else None
        return found

    @property
    def rope_by_kind(self) -> Any:
        """``rope_parameters`` of kinds of layers that have no plain names."""
        stated = self.part.get("rope_parameters")
        if not isinstance(stated, dict) or not any(isinstance(p, dict) for p in stated.values()):
            return None
        rest = {name: value for name, value in self.part.items() if name not in _ROPE}
        return None if plain_rope_parameters(rest, _ROPE) else stated

    def _scaling(self, stated: Mapping[str, Any]) -> dict[str, Any] | None:
        scaling = scaling_of(stated)
        if scaling is None or scaling["type"] not in FROM_ORIGINAL:
            return scaling
        original = self.part.get(ORIGINAL) or self.part.get(_LENGTH)
        return ({ORIGINAL: original} if original else {}) | scaling


def _rope(mine: _Values, theirs: _Values) -> list[tuple[str, Any, Any]]:
    one, other = mine.rope, theirs.rope
    found = [(name, one[name], other[name]) for name in _ROPE]
    found.append(("rope_parameters", mine.rope_by_kind, theirs.rope_by_kind))
    # Without scaling the longest context changes nothing.
    if one["rope_scaling"] is not None:
        found.append((_LENGTH, mine.value(_LENGTH), theirs.value(_LENGTH)))
    return found


def _first(name: str) -> tuple[bool, str]:
    """The sizes that people know models by come first."""
    return name not in ("hidden_size", "num_hidden_layers", "num_attention_heads"), name


def _equal(one: Any, other: Any) -> bool:
    return bool(one == other) or (_is_empty(one) and _is_empty(other))


def _is_empty(value: Any) -> bool:
    """Whether a value says no more than its absence does; a 0 says more."""
    return value is None or value is False or value == [] or value == {}


def _is_computed(name: str, one: Any, other: Any) -> bool:
    return (one is None or other is None) and _COMPUTED.fullmatch(name) is not None


def _said(name: str, one: Any, other: Any) -> str:
    return f"its `{name}` is {shown(other)} and the reference's {shown(one)}"
