"""Hashes of a model's files, for the identity and the report of a run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

_SUFFIXES = (".safetensors", ".json", ".jinja", ".model", ".py")
_HASHED_BYTES = 64 << 20


def model_files(folder: Path) -> dict[str, str | int]:
    """Return the SHA-256 of each config and weight file, or its size if hashing would be slow.

    In the Hugging Face cache, the blob of a large file is named by its SHA-256. Other files of up
    to 64 MiB are hashed.
    """
    found: dict[str, str | int] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix not in _SUFFIXES:
            continue
        blob = file.resolve().name
        if len(blob) == 64 and all(c in "0123456789abcdef" for c in blob):
            found[file.name] = blob
        elif file.stat().st_size <= _HASHED_BYTES:
            found[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
        else:
            found[file.name] = file.stat().st_size
    return found


def files_digest(files: dict[str, str | int]) -> str:
    """Return the hexadecimal SHA-256 of the result of :func:`model_files`."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
