"""What tells one state of a file from another without reading it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FileStamp:
    """One state of a file.

    Attributes:
        inode: Its number in its file system.
        size: Bytes.
        modified: When its content was last written, nanoseconds since 1970.
    """

    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileStamp:
        """The state that a stat shows."""
        return cls(status.st_ino, status.st_size, status.st_mtime_ns)


def digest_of(files: Mapping[str, FileStamp]) -> str:
    """SHA-256, the first 32 hexadecimal digits, of the states of files; their order is no matter.

    Args:
        files: File name to state.
    """
    states = {name: [stamp.inode, stamp.size, stamp.modified] for name, stamp in files.items()}
    text = json.dumps(states, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
