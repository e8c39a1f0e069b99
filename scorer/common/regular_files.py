"""Opening files of a downloaded repo: regular files only, and without waiting for anything else.

A pipe or a device in a model's folder would block whoever opens it, or never end.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path, *, unnoticed: bool = False) -> BinaryIO:
    """Open a regular file to read its bytes.

    Args:
        path: The file; links are followed.
        unnoticed: Leave its access time as it is, where the system allows that.

    Raises:
        OSError: It cannot be opened, or is a folder, a pipe, a socket or a device.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags | (getattr(os, "O_NOATIME", 0) if unnoticed else 0))
    except PermissionError:
        # Only a file's owner may ask for its access time to stay.
        descriptor = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise
