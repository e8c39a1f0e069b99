"""Settings by short names: weights of a repo are called by the last part of its id.

Pure standard library.
"""

from __future__ import annotations

from functools import lru_cache

from scorer.common.errors import InputError
from scorer.spec.settings.registry import parse_setting
from scorer.spec.settings.weights import WeightsSetting


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


def names_of(keys: tuple[str, ...], most: int = 4) -> str:
    """Short names with commas between; of many the first ones and how many more there are."""
    if len(keys) <= most + 1:
        return ", ".join(map(short_name, keys))
    return f"{', '.join(map(short_name, keys[:most]))} and {len(keys) - most} more"
