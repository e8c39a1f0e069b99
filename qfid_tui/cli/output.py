"""Where a report goes: standard output, or a file that is the old one or the new one, never half.

Pure standard library.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from scorer.common.atomic_files import storage_error, sync_folder, write_all
from scorer.common.errors import InputError, QfidError


class ReportFile:
    """The file that ``--output`` names.

    A link is followed. What is no regular file (a pipe, ``/dev/stdout``) is written to directly:
    renaming over it would replace it.
    """

    def __init__(self, path: str) -> None:
        """Check, before anything is scored, that the file can be written.

        Raises:
            InputError: It cannot: no such folder, read-only, a folder itself.
            QfidError: The disk refuses.
        """
        if not path.strip() or "\0" in path:
            raise InputError("--output names no file")
        self.path = Path(path)
        self._named_as_folder = path.endswith(os.sep)
        self._direct = False
        try:
            self._target = Path(os.path.realpath(self.path.expanduser()))
            self._check()
        except (OSError, ValueError, RuntimeError) as error:
            raise _unwritable(error, self.path) from error

    def _check(self) -> None:
        try:
            found = self.path.expanduser().stat()
        except FileNotFoundError:
            if self._named_as_folder:
                raise IsADirectoryError(21, "Is a directory") from None
        else:
            if stat.S_ISDIR(found.st_mode):
                raise IsADirectoryError(21, "Is a directory")
            self._direct = not stat.S_ISREG(found.st_mode)
            if not os.access(self._target, os.W_OK):
                raise PermissionError(13, "Permission denied")
        if not self._direct:
            # Only creating a file shows whether one can be created.
            descriptor, aside = self._open_aside()
            os.close(descriptor)
            aside.unlink()

    def write(self, parts: Iterable[str]) -> None:
        """Write the parts as UTF-8, one after the other.

        Raises:
            InputError: The file cannot be written any more.
            QfidError: The bytes could not be stored; the old file is untouched.
        """
        try:
            if self._direct:
                with self._target.open("wb", buffering=0) as file:
                    _write_parts(file.fileno(), parts)
            else:
                self._replace(parts)
        except (OSError, ValueError) as error:
            raise _unwritable(error, self.path) from error

    def _replace(self, parts: Iterable[str]) -> None:
        descriptor, aside = self._open_aside()
        try:
            try:
                with contextlib.suppress(OSError):
                    os.fchmod(descriptor, stat.S_IMODE(self._target.stat().st_mode))
                _write_parts(descriptor, parts)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            aside.replace(self._target)
        except BaseException:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise
        sync_folder(self._target.parent)

    def _open_aside(self) -> tuple[int, Path]:
        aside = self._target.with_name(f".{self._target.name[:80]}.{secrets.token_hex(6)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return os.open(aside, flags, 0o666), aside


def print_report(parts: Iterable[str]) -> None:
    """Write the parts to standard output as UTF-8, whatever the locale.

    A reader that has had enough (``| head``) is no error.

    Raises:
        QfidError: Standard output cannot be written.
    """
    try:
        if sys.stdout is None:
            raise OSError("it is closed")
        sys.stdout.flush()
        for block in _blocks(parts):
            sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        silence_stdout()
    except (OSError, ValueError) as error:
        silence_stdout()
        reason = error.strerror if isinstance(error, OSError) else None
        raise QfidError(
            f"the report cannot be written to standard output: {reason or error}",
            "the run is saved; `qfid report` prints it again",
        ) from error


def silence_stdout() -> None:
    """Let what is still buffered for standard output go nowhere when Python flushes it at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)


def _write_parts(descriptor: int, parts: Iterable[str]) -> None:
    for block in _blocks(parts):
        write_all(descriptor, block)


def _blocks(parts: Iterable[str], size: int = 1 << 20) -> Iterable[bytes]:
    """The parts in UTF-8, joined to blocks of about ``size`` bytes."""
    kept: list[bytes] = []
    held = 0
    for part in parts:
        encoded = part.encode("utf-8", "replace")
        kept.append(encoded)
        held += len(encoded)
        if held >= size:
            yield b"".join(kept)
            kept, held = [], 0
    yield b"".join(kept)


def _unwritable(error: Exception, path: Path) -> QfidError:
    if not isinstance(error, OSError | ValueError):
        return InputError(f"`{path}` names nobody's home", "name a file by its full path")
    return storage_error(error, path)
