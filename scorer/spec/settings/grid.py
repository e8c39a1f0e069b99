"""The settings of a grid: sets of weights, KV settings, and every pair of the two."""

from __future__ import annotations

import os.path
from collections.abc import Sequence
from pathlib import Path

from scorer.common.errors import InputError
from scorer.spec.settings.base import ComputePath, Setting
from scorer.spec.settings.grammar import split_list
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import parse_settings
from scorer.spec.settings.weights import (
    DEFAULT_WEIGHT_GROUP,
    GGUF_SUFFIX,
    MadeWeights,
    StoredWeights,
    WeightsSetting,
    WeightsSource,
)
from scorer.spec.weight_format import AFFINE, FIXED

DEFAULT_LADDER = "8,6,5,4,3"
"""Widths that are made of a reference where nobody names any weights."""


def grid_settings(
    weights: Sequence[WeightsSource],
    caches: Sequence[KVSetting] = (),
    others: Sequence[Setting] = (),
) -> tuple[Setting, ...]:
    """Each KV setting alone, each set of weights alone, and each with each KV setting.

    Args:
        weights: Sets of weights.
        caches: KV settings.
        others: Settings that are added as they are.

    Returns:
        The settings, each once: KV settings, then the weights row by row, then the others.
    """
    found: list[Setting] = list(caches)
    for source in weights:
        found.append(WeightsSetting(source))
        found += [WeightsSetting(source, cache) for cache in caches]
    return tuple(dict.fromkeys((*found, *others)))


def ladder(text: str, group_size: int | None = None) -> tuple[MadeWeights, ...]:
    """Weights made of the reference, from a list without their ``w``: ``8,4:32,mxfp4``.

    Args:
        text: The list.
        group_size: Group size where a width names none; None for the default.

    Raises:
        InputError: The list is empty, or names what MLX cannot quantize to.
    """
    found = []
    for part in split_list(text):
        word = part.removeprefix("w")
        if word in FIXED:
            bits, group = FIXED[word]
            found.append(MadeWeights(bits, group, word))
            continue
        digits, _, group_text = word.partition(":")
        if not digits.isdecimal() or (":" in word and not group_text.isdecimal()):
            raise InputError(
                f"`{part}` is no precision of weights",
                f"write 8, 4:32, or one of {', '.join(FIXED)}; comma-separated",
            )
        group = int(group_text) if group_text else group_size or DEFAULT_WEIGHT_GROUP
        found.append(MadeWeights(int(digits), group, AFFINE))
    return tuple(dict.fromkeys(found))


def stored_weights(name: str, revision: str | None = None) -> StoredWeights:
    """The weights of a repo or folder that is named as a model is, or of a GGUF file.

    Args:
        name: Repo id, also with ``@`` and a revision, or the path of a folder or GGUF file.
        revision: Revision of the repo where the name holds none.

    Raises:
        InputError: Nothing is named, or what is named is no repo id and no folder.
    """
    if not name.strip():
        raise InputError("no model was named", "give org/name or a folder")
    try:
        path = Path(name).expanduser()
        is_gguf = name.lower().endswith(GGUF_SUFFIX)
        if name.startswith((".", "/", "~")) or is_gguf or (path / "config.json").is_file():
            # Links stay: a snapshot of the cache is known by its path.
            return StoredWeights(os.path.normpath(path.absolute()))
    except (OSError, RuntimeError):
        # There is no such user, or no working directory: whoever looks for the model says so.
        pass
    model, _, own = name.partition("@")
    if "/" not in model:
        raise InputError(
            f"`{name}` names no quantized copy: it is neither org/name nor a folder",
            "a folder is written ./name, a GGUF file ./name.gguf; w8 and w4 make copies of the "
            "reference in memory",
        )
    return StoredWeights(model, own or revision)


def cache_settings(
    text: str,
    *,
    group_size: int | None = None,
    start: int = 0,
    path: ComputePath = "deployed",
) -> tuple[KVSetting, ...]:
    """The KV settings of a list; arguments as of :func:`parse_settings`.

    Raises:
        InputError: One is not of the KV cache alone.
    """
    found = []
    for setting in parse_settings(text, group_size=group_size, start=start, path=path):
        if not isinstance(setting, KVSetting):
            raise InputError(
                f"`{setting.key}` is not a setting of the KV cache alone",
                "KV settings are written 8, 4:32, k8v4; a pair such as w4+8 is another setting",
            )
        found.append(setting)
    return tuple(found)
