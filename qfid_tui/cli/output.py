"""Writes reports to standard output, or atomically to a file. Standard library only."""

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

    A link is followed. Something other than a regular file (a pipe, ``/dev/stdout``) is written
    directly, because a rename would replace it.
    """

    def __init__(self, path: str) -> None:
        """Check that the file can be written, before anything is scored.

        Raises:
            InputError: It cannot be written: no such folder, read-only, or a folder.
            QfidError: The disk is full or fails.
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
            # Create a file, the only reliable check.
            descriptor, temporary = self._open_temporary()
            os.close(descriptor)
            temporary.unlink()

    def write(self, parts: Iterable[str | bytes]) -> None:
        """Write the parts in order, text as UTF-8.

        Raises:
            InputError: The file can no longer be written.
            QfidError: The bytes could not be stored; the old file is unchanged.
        """
        try:
            if self._direct:
                with self._target.open("wb", buffering=0) as file:
                    _write_parts(file.fileno(), parts)
            else:
                self._replace(parts)
        except (OSError, ValueError) as error:
            raise _unwritable(error, self.path) from error

    def _replace(self, parts: Iterable[str | bytes]) -> None:
        descriptor, temporary = self._open_temporary()
        try:
            try:
                with contextlib.suppress(OSError):
                    os.fchmod(descriptor, stat.S_IMODE(self._target.stat().st_mode))
                _write_parts(descriptor, parts)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            temporary.replace(self._target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        sync_folder(self._target.parent)

    def _open_temporary(self) -> tuple[int, Path]:
        temporary = self._target.with_name(f".{self._target.name[:80]}.{secrets.token_hex(6)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return os.open(temporary, flags, 0o666), temporary


def print_report(parts: Iterable[str | bytes]) -> None:
    """Write the report of a saved run to standard output, see :func:`print_text`.

    Raises:
        QfidError: Standard output cannot be written.
    """
    print_text(parts, "report", "the run is saved; `qfid report` prints it again")


def print_text(parts: Iterable[str | bytes], what: str = "output", hint: str = "") -> None:
    """Write the parts to standard output, text as UTF-8 in any locale.

    A closed pipe (``| head``) is no error.

    Args:
        parts: The text.
        what: What it is, for a message.
        hint: What to do where it cannot be written.

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
            f"the {what} cannot be written to standard output: {reason or error}", hint
        ) from error


def silence_stdout() -> None:
    """Discard the buffer of standard output, so that flushing it at exit cannot fail."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)


def _write_parts(descriptor: int, parts: Iterable[str | bytes]) -> None:
    for block in _blocks(parts):
        write_all(descriptor, block)


def _blocks(parts: Iterable[str | bytes], size: int = 1 << 20) -> Iterable[bytes]:
    """Yield the parts, text in UTF-8, joined to blocks of about ``size`` bytes."""
    block: list[bytes] = []
    size_of_block = 0
    for part in parts:
        encoded = part if isinstance(part, bytes) else part.encode("utf-8", "replace")
        block.append(encoded)
        size_of_block += len(encoded)
        if size_of_block >= size:
            yield b"".join(block)
            block, size_of_block = [], 0
    yield b"".join(block)


def _unwritable(error: Exception, path: Path) -> QfidError:
    if not isinstance(error, OSError | ValueError):
        return InputError(f"`{path}` names an unknown user", "name a file by its full path")
    return storage_error(error, path)
