"""Files that are either the old one or the new one, never half of one."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from pathlib import Path

from scorer.common.errors import InputError, QfidError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_ASIDE = re.compile(r"\..+\.[0-9a-f]{12}")


def write_atomic(path: str | os.PathLike[str], data: str | bytes) -> None:
    """Write a file aside, sync it, and rename it over ``path``.

    A link at ``path`` is replaced, not followed: the bytes land in the folder that was named.

    Args:
        path: The file; its folder must exist.
        data: The whole content; text is written as UTF-8.

    Raises:
        InputError: The folder is missing, no folder or not writable, or ``path`` is a folder.
        QfidError: The bytes could not be stored, as on a full disk; the old file is untouched.
    """
    target = Path(path)
    if target.name in ("", ".."):
        raise InputError(f"`{path}` names no file")
    content = data.encode("utf-8", "replace") if isinstance(data, str) else data
    # A name of its own in the same folder: a rename is atomic within one file system only.
    aside = target.with_name(f".{target.name[:80]}.{secrets.token_hex(6)}")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        aside.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError, ValueError):
            aside.unlink()
        if isinstance(error, OSError | ValueError):
            raise storage_error(error, target) from error
        raise
    sync_folder(target.parent)


def remove_asides(folder: Path) -> None:
    """Remove what :func:`write_atomic` left in ``folder`` where its process was killed.

    Only for a folder that no other process writes to.
    """
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if _ASIDE.fullmatch(path.name) and not path.is_dir():
                path.unlink()


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write every byte; one system call unless the kernel takes fewer.

    Raises:
        OSError: The kernel refused, possibly after part of the bytes.
    """
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def sync_folder(folder: Path) -> None:
    """Make a new name in ``folder`` survive a power loss, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def storage_error(error: OSError | ValueError, path: Path) -> QfidError:
    """The error to show when ``path`` could not be written or read."""
    code = error.errno if isinstance(error, OSError) else None
    if code in _FULL:
        return QfidError(f"no space left to write `{path}`", "free some space, then try again")
    if code == errno.ENOENT and path.parent.is_dir():
        return InputError(f"`{path}` does not exist")
    if code == errno.ENOENT:
        return InputError(f"there is no folder `{path.parent}`", "create it, or name another one")
    if code == errno.ENOTDIR:
        return InputError(f"`{path.parent}` is not a folder")
    if code == errno.EISDIR:
        return InputError(f"`{path}` is a folder, not a file")
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError(
            f"`{path}` cannot be opened or written: permission denied or read-only",
            "name a folder you may write to",
        )
    if code == errno.ELOOP:
        return InputError(f"`{path}` is a symbolic link, which is not followed")
    if code in (errno.ENAMETOOLONG, None):
        return InputError(f"`{str(path)[:120]}` is not a usable file name")
    return QfidError(f"`{path}` cannot be stored or read: {os.strerror(code or 0)}")
