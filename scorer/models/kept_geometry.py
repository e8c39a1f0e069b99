"""What was measured of a model's shape, kept on disk by what it depends on.

Measuring needs mlx (:mod:`scorer.lm.measured_geometry`); reading what is kept does not. A line
depends on the content of ``config.json``, on the version of mlx-lm, and on the model's own Python
file where it runs one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from scorer.common.atomic_files import write_atomic
from scorer.common.errors import InputError, QfidError
from scorer.common.folders import cache_folder
from scorer.models.architectures import mlx_lm_folder
from scorer.models.config import read_small
from scorer.spec.geometry import KVGeometry

# To be raised when the same config measures differently.
_FORMAT = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """The shape of a model, from its module built without weights.

    Attributes:
        geometry: Its caches; no layers where it keeps no keys and values.
        vocab: Rows of its token embedding, or columns of its logits; None if neither is known.
        hidden: Elements of its hidden state; None if not known.
        heads: Query heads of its widest attention layer; None if not known.
    """

    geometry: KVGeometry
    vocab: int | None = None
    hidden: int | None = None
    heads: int | None = None


@dataclass(frozen=True, slots=True)
class NotBuilt:
    """mlx-lm cannot build the module.

    Attributes:
        reason: Why, one line.
        geometry: Its caches, where the config says enough of them; else None.
    """

    reason: str
    geometry: KVGeometry | None = None


Outcome = Measured | NotBuilt

# Also what could not be written: a read-only cache must not make this process measure again.
_known: dict[Path | str, Outcome] = {}


def config_key(config: bytes, custom_code: bytes | None = None) -> str:
    """What a measurement is kept under: 64 hexadecimal digits.

    Args:
        config: Content of ``config.json``.
        custom_code: Content of the Python file the model runs, or None.
    """
    digest = hashlib.sha256()
    for part in (b"%d" % _FORMAT, _mlx_lm_version(), config, custom_code or b""):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def folder_key(folder: Path, custom_code: str | None = None) -> str:
    """:func:`config_key` of a model folder.

    Args:
        folder: The folder.
        custom_code: Name of the Python file in it that the model runs, or None.

    Raises:
        InputError: A file cannot be read.
    """
    code = None if custom_code is None else read_small(folder / custom_code)
    return config_key(read_small(folder / "config.json"), code)


def recall(key: str) -> Outcome | None:
    """What is kept under a key; None if nothing is, or it is damaged."""
    path = _path(key)
    if (place := path or key) not in _known:
        if path is None:
            return None
        try:
            _known[place] = outcome_from_json(json.loads(read_small(path)))
        except (InputError, ValueError, RecursionError):
            return None
    return _known[place]


def remember(key: str, outcome: Outcome) -> None:
    """Keep what was measured; a cache folder that cannot be written is no error."""
    path = _path(key)
    _known[path or key] = outcome
    if path is None:
        return
    with contextlib.suppress(OSError, QfidError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(outcome_to_json(outcome)) + "\n")


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON values."""
    if isinstance(outcome, NotBuilt):
        known = outcome.geometry
        return {"not_built": outcome.reason, "geometry": known and known.to_json()}
    sizes = {name: getattr(outcome, name) for name in ("vocab", "hidden", "heads")}
    return {"geometry": outcome.geometry.to_json()} | sizes


def outcome_from_json(data: Any) -> Outcome:
    """The outcome that :func:`outcome_to_json` made the values of.

    Raises:
        ValueError: They are not such values.
    """
    if not isinstance(data, Mapping):
        raise ValueError("no JSON object")
    reason = data.get("not_built")
    geometry = data.get("geometry")
    if isinstance(reason, str):
        known = KVGeometry.from_json(geometry) if isinstance(geometry, Mapping) else None
        return NotBuilt(reason, known and dataclasses.replace(known, exact=True))
    if not isinstance(geometry, Mapping):
        raise ValueError("no geometry")
    sizes = {name: data.get(name) for name in ("vocab", "hidden", "heads")}
    for value in sizes.values():
        if value is not None and (type(value) is not int or value < 1):
            raise ValueError("a size is no positive integer")
    return Measured(dataclasses.replace(KVGeometry.from_json(geometry), exact=True), **sizes)


def _path(key: str) -> Path | None:
    try:
        return cache_folder() / "geometry" / f"{key}.json"
    except InputError:
        return None


@lru_cache(maxsize=1)
def _mlx_lm_version() -> bytes:
    """Content of the file in which mlx-lm states its version; it is not imported for that."""
    folder = mlx_lm_folder()
    with contextlib.suppress(InputError):
        return b"" if folder is None else read_small(folder / "_version.py")
    import importlib.metadata

    return importlib.metadata.version("mlx-lm").encode()
