"""Hashes of large files, kept on disk by path, inode, size and times."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from pathlib import Path

from scorer.common.atomic_files import write_atomic
from scorer.common.errors import InputError, QfidError
from scorer.common.folders import cache_folder
from scorer.models.config import read_small
from scorer.models.file_stamp import FileStamp

_SHA256 = re.compile(r"[0-9a-f]{64}")


def kept_hash(path: Path, stamp: FileStamp, changed: int) -> str | None:
    """The SHA-256 that is kept of a file in this state, hexadecimal; None where none is.

    Args:
        path: The file, links resolved.
        stamp: Its inode, size and time of writing.
        changed: When anything of it changed, nanoseconds since 1970. A time of writing that was
            set back does not set this one back.
    """
    try:
        kept = json.loads(read_small(_place(path)))
    except (InputError, ValueError, RecursionError):
        return None
    if not isinstance(kept, dict) or kept.get("state") != _state(path, stamp, changed):
        return None
    found = kept.get("sha256")
    return found if isinstance(found, str) and _SHA256.fullmatch(found) else None


def keep_hash(path: Path, stamp: FileStamp, changed: int, sha256: str) -> None:
    """Keep the hash of a file; a cache folder that cannot be written is no error."""
    place = _place(path)
    kept = {"state": _state(path, stamp, changed), "sha256": sha256}
    with contextlib.suppress(OSError, QfidError):
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(place, json.dumps(kept) + "\n")


def _state(path: Path, stamp: FileStamp, changed: int) -> list[str | int]:
    return [os.fspath(path), stamp.inode, stamp.size, stamp.modified, changed]


def _place(path: Path) -> Path:
    name = hashlib.sha256(os.fsencode(path)).hexdigest()
    return cache_folder() / "hashes" / f"{name}.json"
