"""The files of a model as a saved run has always named them: by hash, or by size where large.

Runs of every version are compared by this. It does not read large files and so does not tell two
of one size apart: :mod:`scorer.models.model_content` does.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

_SUFFIXES = (".safetensors", ".json", ".jinja", ".model", ".py")
_HASHED_BYTES = 64 << 20
_BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def model_files(folder: Path) -> dict[str, str | int]:
    """The SHA-256 of each config and weight file, or its size if hashing would be slow.

    In the Hugging Face cache, the blob of a large file is named by its SHA-256, and the name is
    believed here. Other files of up to 64 MiB are hashed.
    """
    found: dict[str, str | int] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix not in _SUFFIXES:
            continue
        blob = blob_name(file)
        if blob is not None and len(blob) == 64:
            found[file.name] = blob
        elif file.stat().st_size <= _HASHED_BYTES:
            found[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
        else:
            found[file.name] = file.stat().st_size
    return found


def blob_name(path: Path) -> str | None:
    """Name of the blob that a file of a Hugging Face cache leads to; None for another file.

    Large blobs are named by their SHA-256, small ones by the SHA-1 that git gives them.
    """
    name = path.resolve().name
    return name if _BLOB.fullmatch(name) else None


def digest_of(files: Mapping[str, str | int]) -> str:
    """One SHA-256 of names and hashes, hexadecimal."""
    return hashlib.sha256(json.dumps(dict(files), sort_keys=True).encode()).hexdigest()
