"""Values of ``config.json`` that change what a model computes and that its module does not use.

mlx-lm drops keys it does not know, and some that it takes are read by nothing. The keys looked at
are a reviewed list. Those that change the shapes of weights are not on it: weights that do not fit
are refused when they are loaded.

No weights are needed, but the module must have run once: some values are read by its passes.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.nn as nn

from scorer.common.inert_text import shown
from scorer.lm.built_in_values import activation_named, activations_of, constants_of
from scorer.lm.model_arguments import Arguments
from scorer.models.rope_parameters import FROM_ORIGINAL, ORIGINAL, scaling_of

# Keys, and the values under which a model computes as one that has no such key.
_WITHOUT_EFFECT: dict[str, tuple[Any, ...]] = {
    "attn_logit_softcapping": (0,),
    "final_logit_softcapping": (0,),
    "logits_soft_cap": (0,),
    "clip_qkv": (0,),
    "alibi": (False,),
    "use_alibi": (False,),
    "embedding_multiplier": (1,),
    "residual_multiplier": (1,),
    "logits_scaling": (1,),
    "logit_scale": (1,),
    "lm_head_multiplier": (1,),
    "key_multiplier": (1,),
    "attention_in_multiplier": (1,),
    "attention_out_multiplier": (1,),
    "ssm_in_multiplier": (1,),
    "ssm_out_multiplier": (1,),
    "output_multiplier": (1,),
    "scale_emb": (1,),
    "scale_depth": (),
    "routed_scaling_factor": (1,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "scale_attn_weights": (True,),
}
_EPSILON = (
    "rms_norm_eps",
    "layer_norm_eps",
    "layer_norm_epsilon",
    "layernorm_epsilon",
    "norm_eps",
    "norm_epsilon",
)
_ACTIVATION = ("hidden_act", "hidden_activation", "activation_function", "mlp_hidden_act")
_BASE = ("rope_theta", "rotary_emb_base")
_PARTIAL = ("partial_rotary_factor", "rotary_pct")
# Kinds of scaling that change no position of a text.
_UNSCALED = ("default", "mrope")
# Parts of a scaling, and the values that it has where they are not stated.
_SCALING_PARTS: dict[str, tuple[Any, ...]] = {
    "factor": (1,),
    "original_max_position_embeddings": (),
    "beta_fast": (32,),
    "beta_slow": (1,),
    "mscale": (1,),
    "mscale_all_dim": (0,),
    "attention_factor": (),
    "low_freq_factor": (1,),
    "high_freq_factor": (4,),
    "short_factor": (),
    "long_factor": (),
    "short_mscale": (),
    "long_mscale": (),
    "truncate": (True,),
}


@dataclass(frozen=True, slots=True)
class Unused:
    """A value of ``config.json`` that has no effect, or another one than in transformers.

    Attributes:
        key: Its key, ``rope_scaling.factor`` for one inside an object.
        stated: The value.
        used: What the module uses in its place; empty where it has no such thing.
        implied: The key is not stated; transformers derives the value from another.
    """

    key: str
    stated: Any
    used: str = ""
    implied: bool = False

    def sentence(self, architecture: str) -> str:
        """The warning of a report."""
        if self.implied:
            return (
                f"config.json: `{self.key}` is not stated: transformers takes "
                f"{shown(self.stated)}, mlx-lm's `{architecture}` uses {self.used}"
            )
        instead = f"it uses {self.used}" if self.used else "it has no such thing"
        return (
            f"config.json: `{self.key}` is {shown(self.stated)}, which mlx-lm's `{architecture}` "
            f"does not take: {instead}"
        )


def added_values(arguments: Arguments) -> dict[str, Any]:
    """What a class was given that mlx-lm by itself would not have given, by name."""
    return {
        name: value
        for name, value in arguments.added.items()
        if value is not None and not _equal(arguments.default(name), value)
    }


def added_sentence(arguments: Arguments) -> str | None:
    """The warning of a report about :func:`added_values`; None without any."""
    parts = []
    for name, value in added_values(arguments).items():
        alone = "none" if name in arguments.required else shown(arguments.default(name))
        parts.append(f"`{name}` {_brief(value)} (mlx-lm by itself: {alone})")
    if not parts:
        return None
    return (
        f"config.json: mlx-lm's `{arguments.module}` drops `rope_parameters`; here it was given "
        f"{', '.join(parts)}"
    )


def _brief(value: Any) -> str:
    if isinstance(value, float):
        return f"`{value:g}`"
    if not isinstance(value, dict):
        return shown(value)
    factor = f" by {value['factor']:g}" if isinstance(value.get("factor"), int | float) else ""
    return f"{shown(value.get('type'))}{factor}"


def unused_values(made: Sequence[Arguments], module: nn.Module) -> list[Unused]:
    """The values of a config that a module does not use.

    Args:
        made: What its classes of arguments took, recorded up to the end of a pass.
        module: The module.
    """
    found: list[Unused] = []
    for arguments in made:
        # A wrapper's own keys, and those of a part for images, are not the text model's.
        if "vocab_size" not in arguments.fields or "text_config" in arguments.fields:
            continue
        found += [*_by_name(arguments), *_rotary(arguments, module), *_epsilon(arguments, module)]
    return found


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=1e-6)
    return bool(a == b)


def _among(value: Any, others: Collection[Any]) -> bool:
    return value is None or any(_equal(value, other) for other in others)


def _is_used(arguments: Arguments, key: str) -> bool:
    """Whether a class takes a key as it is stated, and something reads it."""
    return (
        key in arguments.fields
        and key in arguments.read
        and _equal(getattr(arguments.values, key), arguments.stated[key])
    )


def _by_name(arguments: Arguments) -> Iterator[Unused]:
    stated, head = arguments.stated, _head_dim(arguments.stated)
    neutral = dict(_WITHOUT_EFFECT)
    if head is not None:
        neutral |= {"query_pre_attn_scalar": (head,), "attention_multiplier": (head**-0.5,)}
    for key, values in neutral.items():
        # A switch equals no constant.
        constants = () if isinstance(stated.get(key), bool) else constants_of(arguments.own)
        values = (*values, *constants)
        if key in stated and not _is_used(arguments, key) and not _among(stated[key], values):
            yield Unused(key, stated[key], _taken(arguments, key))
    for key in _ACTIVATION:
        name = activation_named(stated.get(key))
        if name is not None and not (key in arguments.fields and key in arguments.read):
            built = activations_of(arguments.own)
            if built and name not in built:
                yield Unused(key, stated[key], " and ".join(sorted(built)))


def _taken(arguments: Arguments, key: str) -> str:
    if key not in arguments.fields or key not in arguments.read:
        return ""
    return shown(getattr(arguments.values, key))


def _head_dim(stated: Mapping[str, Any]) -> int | None:
    head, hidden = stated.get("head_dim"), stated.get("hidden_size")
    heads = stated.get("num_attention_heads")
    if type(head) is int:
        return head
    return hidden // heads if type(hidden) is int and type(heads) is int and heads else None


def _epsilon(arguments: Arguments, module: nn.Module) -> Iterator[Unused]:
    stated = {key: arguments.stated[key] for key in _EPSILON if key in arguments.stated}
    built = {
        float(value)
        for part in module.modules()
        if isinstance(value := getattr(part, "eps", None), float | int)
    }
    # A config can state several, for norms of several kinds; one that is built is enough.
    if not built or any(_among(value, built) for value in stated.values()):
        return
    for key, value in stated.items():
        if not _is_used(arguments, key):
            yield Unused(key, value, _either(built))


def _either(values: Collection[float]) -> str:
    return " and ".join(f"`{value:g}`" for value in sorted(values))


def _rotary(arguments: Arguments, module: nn.Module) -> Iterator[Unused]:
    stated, read = arguments.stated, arguments.read
    parts = [part for part in module.modules() if _is_rotary(part)]
    # A model without rotary positions may state a base all the same.
    if not parts:
        return
    bases = {float(base) for part in parts if isinstance(base := _base(part), float | int)}
    known = (
        bases
        if all(type(part) is nn.RoPE for part in parts)
        else {
            *bases,
            *_added_bases(arguments),
        }
    )
    for key, base in _stated_bases(stated):
        top = key.partition(".")[0]
        taken = _is_used(arguments, key) if top == key else key in read
        if not taken and not _among(base, known):
            yield Unused(key, base, _either(bases) or "a base of its own")
    yield from _share(arguments, parts)
    yield from _scaling(arguments, parts)


def _share(arguments: Arguments, parts: Sequence[nn.Module]) -> Iterator[Unused]:
    """The share of a head that is rotated, where it is a number of the whole head."""
    stated, head = arguments.stated, _head_dim(arguments.stated)
    if head is None or "qk_rope_head_dim" in stated:
        return
    built = {part.dims for part in parts if type(part) is nn.RoPE}
    if len(built) != 1 or not all(type(part) is nn.RoPE for part in parts):
        return
    for key in _PARTIAL:
        share = stated.get(key)
        if isinstance(share, int | float) and not _is_used(arguments, key):
            if not any(math.isclose(size, head * share, abs_tol=1) for size in built):
                yield Unused(key, share, _either([size / head for size in built]))


def _is_rotary(part: nn.Module) -> bool:
    name = type(part).__name__.lower()
    return "rope" in name or "rotary" in name


def _base(part: nn.Module) -> Any:
    return getattr(part, "base", None)


def _stated_bases(stated: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    parameters = stated.get("rope_parameters")
    inside = parameters if isinstance(parameters, dict) else {}
    candidates = {key: stated.get(key) for key in _BASE}
    candidates["rope_parameters.rope_theta"] = inside.get("rope_theta")
    for kind, part in inside.items():
        if isinstance(part, dict):
            candidates[f"rope_parameters.{kind}"] = part.get("rope_theta")
    for key, value in candidates.items():
        if isinstance(value, float | int) and not isinstance(value, bool):
            yield key, value


def _added_bases(arguments: Arguments) -> set[float]:
    return {
        value
        for name, value in arguments.added.items()
        if name != "partial_rotary_factor" and isinstance(value, float | int)
    }


def _scaling(arguments: Arguments, parts: Sequence[nn.Module]) -> Iterator[Unused]:
    given = arguments.stated | arguments.added
    for key in ("rope_scaling", "rope_parameters"):
        value = given.get(key)
        scaling = scaling_of(value) if isinstance(value, dict) else None
        if (
            scaling is None
            or scaling["type"] in _UNSCALED
            or _among(scaling.get("factor", 0), (1,))
        ):
            continue
        if key == "rope_parameters" and "rope_scaling" in arguments.added:
            continue
        if parts and all(type(part) is nn.RoPE and part.scale == 1 for part in parts):
            yield Unused(key, scaling["type"], "positions as they are")
            continue
        if key in arguments.fields and getattr(arguments.values, key) is not None:
            yield from _parts_of_scaling(arguments, key, scaling)
            yield from _original_context(arguments, key, scaling, parts)


def _parts_of_scaling(
    arguments: Arguments, key: str, scaling: Mapping[str, Any]
) -> Iterator[Unused]:
    names = {key, "rope_scaling", "rope_parameters"}
    for part, value in scaling.items():
        neutral = _SCALING_PARTS.get(part)
        if neutral is None or any(f"{name}.{part}" in arguments.read for name in names):
            continue
        factor = scaling.get("factor")
        if part == "attention_factor" and isinstance(factor, int | float) and factor > 1:
            neutral = (0.1 * math.log(factor) + 1,)
        if not _among(value, neutral):
            usual = _brief(neutral[0]) if neutral else "a value of its own"
            yield Unused(f"{key}.{part}", value, usual)


def _original_context(
    arguments: Arguments, key: str, scaling: Mapping[str, Any], parts: Sequence[nn.Module]
) -> Iterator[Unused]:
    """The context before stretching, where it is not stated and a default takes its place.

    Source of what transformers takes: ``PreTrainedConfig.standardize_rope_params``.
    """
    if ORIGINAL in scaling or scaling["type"] not in FROM_ORIGINAL or ORIGINAL in arguments.read:
        return
    name = f"{key}.{ORIGINAL}"
    implied = arguments.stated.get(ORIGINAL) or arguments.stated.get("max_position_embeddings")
    # Read with a default, or left to the default of the rotary positions' own class.
    found = [arguments.defaults.get(name), *(_default_of(part, ORIGINAL) for part in parts)]
    used = {value for value in found if value is not None}
    if implied is not None and used and not _among(implied, used):
        yield Unused(name, implied, _either(used), implied=True)


def _default_of(part: nn.Module, name: str) -> Any:
    parameter = inspect.signature(type(part)).parameters.get(name)
    default = None if parameter is None else parameter.default
    return default if isinstance(default, int) else None
