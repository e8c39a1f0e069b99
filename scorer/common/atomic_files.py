"""Atomic file writes: a reader sees the old file or the new one, never a part of one."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from pathlib import Path

from scorer.common.errors import InputError, QfidError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What a write fails with where no space is left."""
FILE_SIZE_HINT = "`ulimit -f` shows the limit of this shell; some file systems have one too"
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}")


def write_atomic(path: str | os.PathLike[str], data: str | bytes, *, sync: bool = True) -> None:
    """Write a temporary file, sync it, and rename it over ``path``.

    A symbolic link at ``path`` is replaced, not followed.

    Args:
        path: The file; its folder must exist.
        data: The whole content; text is written as UTF-8.
        sync: Wait until the disk has it; False for what no later process reads.

    Raises:
        InputError: The folder is missing, is not a folder or not writable, or ``path`` is a folder.
        QfidError: The bytes could not be stored, as on a full disk; the old file is unchanged.
    """
    target = Path(path)
    if target.name in ("", ".."):
        raise InputError(f"`{path}` names no file")
    content = data.encode("utf-8", "replace") if isinstance(data, str) else data
    # In the same folder: a rename is atomic within one file system only.
    temporary = target.with_name(f".{target.name[:80]}.{secrets.token_hex(6)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            write_all(descriptor, content)
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError, ValueError):
            temporary.unlink()
        if isinstance(error, OSError | ValueError):
            raise storage_error(error, target) from error
        raise
    if sync:
        sync_folder(target.parent)


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files of :func:`write_atomic` calls whose process was killed.

    Call it only while no other process writes to ``folder``.
    """
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if _TEMPORARY.fullmatch(path.name) and not path.is_dir():
                path.unlink()


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all bytes to a descriptor, in as few system calls as the kernel accepts.

    Raises:
        OSError: A write failed, possibly after some of the bytes.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that a new name in it survives a power loss; errors are ignored."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def storage_error(error: OSError | ValueError, path: Path) -> QfidError:
    """Convert an error from writing or reading ``path`` into one with a message and a hint."""
    code = error.errno if isinstance(error, OSError) else None
    if code in FULL:
        return QfidError(f"no space left to write `{path}`", "free some space, then try again")
    if code == errno.EFBIG:
        return QfidError(f"`{path}` would become larger than a file may be here", FILE_SIZE_HINT)
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
