"""Settings by short names: weights of a repo are called by the last part of its id.

Pure standard library.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import takewhile

from scorer.common.errors import InputError
from scorer.spec.settings.registry import parse_setting
from scorer.spec.settings.weights import GGUF_SUFFIX, WeightsSetting

_LEAST_COMMON = 4


@lru_cache(maxsize=512)
def short_name(key: str) -> str:
    """The short name of a setting: ``w4+8``, ``name-4bit+8`` for ``w=org/name-4bit+8``.

    Args:
        key: The setting in notation; what is none is its own name.
    """
    if not key.startswith("w="):
        return key
    try:
        setting = parse_setting(key)
    except InputError:
        return key
    if not isinstance(setting, WeightsSetting):
        return key
    return setting.source.name + ("" if setting.cache is None else f"+{setting.cache.key}")


def has_weights(key: str) -> bool:
    """Whether a setting in notation runs weights of its own: no name of a quantizer begins so."""
    return key.startswith("w")


def name_beside(key: str, model: str) -> str:
    """The short name of a setting, without the beginning that it shares with a model's name.

    Args:
        key: The setting in notation.
        model: Repo id or path of the model that it is compared with.
    """
    name, own = short_name(key), model.rstrip("/").rpartition("/")[2]
    if not key.startswith("w="):
        return name
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(name, own, strict=False))
    common = "".join(one for one, _ in alike)
    common = common[: common.rfind("-") + 1]
    return f"…{name[len(common) :]}" if len(common) > _LEAST_COMMON else name


def ended(name: str, width: int) -> str:
    """A name in so many characters; of a long one the end is kept, by which names differ."""
    if len(name) > width:
        # By this end of a file's name they do not.
        name = name.replace(GGUF_SUFFIX, "")
    return name if len(name) <= width else f"…{name[1 - width :]}"


def names_of(keys: tuple[str, ...], most: int = 4) -> str:
    """Short names with commas between; of many the first ones and how many more there are."""
    if len(keys) <= most + 1:
        return ", ".join(map(short_name, keys))
    return f"{', '.join(map(short_name, keys[:most]))} and {len(keys) - most} more"
