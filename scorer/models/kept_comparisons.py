"""Comparisons of tokenizers, kept on disk by path, inode, size and times of their files.

Comparing two that are written otherwise takes a second or two.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from scorer.common.atomic_files import write_atomic
from scorer.common.errors import InputError, QfidError
from scorer.common.folders import cache_folder
from scorer.models.config import read_small
from scorer.models.same_tokenizer import TOKENIZER_FILES, tokenizer_difference

# To be raised when the same tokenizers are compared otherwise.
_FORMAT = 1
# Also what could not be written: a read-only cache must not make this process compare again.
_known: dict[str, str | None] = {}


def kept_tokenizer_difference(reference: Path, candidate: Path) -> str | None:
    """As :func:`scorer.models.same_tokenizer.tokenizer_difference`, once for each state of files.

    Raises:
        InputError: A folder has no tokenizer, or one that cannot be read.
    """
    state = [_FORMAT, _state(reference), _state(candidate)]
    key = hashlib.sha256(json.dumps(state).encode()).hexdigest()
    if key not in _known and not _recall(key):
        _known[key] = tokenizer_difference(reference, candidate)
        _keep(key, _known[key])
    return _known[key]


def _recall(key: str) -> bool:
    """Take up what is kept under a key; whether there is such a thing."""
    try:
        kept = json.loads(read_small(_place(key)))
    except (InputError, ValueError, RecursionError):
        return False
    if not isinstance(kept, dict) or not isinstance(kept.get("difference", 0), str | None):
        return False
    _known[key] = kept["difference"]
    return True


def _keep(key: str, difference: str | None) -> None:
    with contextlib.suppress(OSError, QfidError):
        path = _place(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps({"difference": difference}) + "\n")


def _state(folder: Path) -> list[Any]:
    """What changes when a file of the tokenizer does."""
    state: list[Any] = []
    for name in TOKENIZER_FILES:
        path = folder / name
        with contextlib.suppress(OSError):
            found = path.stat()
            times = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            state.append([os.path.realpath(path), *times])
    return state


def _place(key: str) -> Path:
    return cache_folder() / "same-tokenizers" / f"{key}.json"
