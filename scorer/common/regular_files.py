"""Opens files of a downloaded repo, regular files only.

Opening a pipe in a model's folder would block, and reading a device might never end.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path, *, keep_access_time: bool = False) -> BinaryIO:
    """Open a regular file for reading bytes.

    Args:
        path: The file; links are followed.
        keep_access_time: Do not update its access time, where the system allows that.

    Raises:
        OSError: It cannot be opened, or is a folder, a pipe, a socket or a device.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    no_access_time = getattr(os, "O_NOATIME", 0) if keep_access_time else 0
    try:
        descriptor = os.open(path, flags | no_access_time)
    except PermissionError:
        # Only the owner of a file may keep its access time.
        descriptor = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise
