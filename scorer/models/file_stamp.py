"""What tells one state of a file from another without reading it."""

from __future__ import annotations

import os
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
