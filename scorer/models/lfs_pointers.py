"""Files of a repo that was cloned without git-lfs: three lines that name the real file."""

from __future__ import annotations

import shlex
from pathlib import Path

from scorer.common.errors import InputError
from scorer.common.regular_files import open_regular

_BEGIN = b"version https://git-lfs.github.com/"
# A pointer has some 130 bytes.
_MOST_BYTES = 1024


class LfsPointer(InputError):
    """A file is a pointer of git-lfs."""


def refuse_pointer(path: Path, begin: bytes) -> None:
    """Refuse a file that begins as a pointer of git-lfs does.

    Args:
        path: The file.
        begin: Its first bytes, 35 or more.

    Raises:
        LfsPointer: It does; without a hint, since only a clone can be completed by git.
    """
    if begin.startswith(_BEGIN):
        raise LfsPointer(
            f"`{path.name}` is a pointer of git-lfs, not the file: it was cloned without git-lfs"
        )


def refuse_small_pointer(path: Path, size: int) -> None:
    """:func:`refuse_pointer` for a file that has not been opened; one that cannot be read passes.

    Args:
        path: The file.
        size: Its bytes; only a file as small as a pointer is opened.

    Raises:
        LfsPointer: It is a pointer.
    """
    if size > _MOST_BYTES:
        return
    try:
        with open_regular(path, keep_access_time=True) as file:
            begin = file.read(len(_BEGIN))
    except OSError:
        return
    refuse_pointer(path, begin)


def completing(folder: Path) -> str:
    """What replaces the pointers in a folder by the files: a command line where it is a clone."""
    whole = folder.absolute()
    if any((each / ".git").exists() for each in (whole, *whole.parents)):
        return f"git -C {shlex.quote(str(folder))} lfs pull"
    return "it is no clone any more: run `git lfs pull` where it was copied from and copy it again"
