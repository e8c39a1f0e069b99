"""What a model's files hold, from before they are read until after the last chunk.

The files that a model is made of are looked at before anything is read of them: inode, size and
time of change. Their SHA-256 is computed beside the scoring. A hash belongs to what was read as
long as inode, size and time stand: they are looked at again once the model is loaded, around the
hashing, and at the end. Imports no mlx.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from scorer.common.errors import ModelChanged, QfidError
from scorer.common.inert_text import shown
from scorer.common.regular_files import open_regular
from scorer.models.file_hashes import blob_name, digest_of
from scorer.models.file_stamp import FileStamp
from scorer.models.kept_hashes import keep_hash, kept_hash
from scorer.models.weight_files import is_weight_file

_SUFFIXES = (".json", ".jinja", ".model", ".py", ".tiktoken")
_NAMES = ("vocab.txt", "merges.txt")
# The one folder inside a model's folder that transformers reads of a tokenizer.
_TEMPLATES = "additional_chat_templates"
_BLOCK = 4 << 20
# Hashed and not kept: as soon done as looked up.
_SMALL_BYTES = 1 << 20
# Behind scoring, where the system gives threads a priority of their own.
_NICENESS = 10
# A file system may keep times in steps of two seconds: a file as young as that can be written
# again without a new time.
_YOUNG_SECONDS = 3.0


@dataclass(slots=True)
class _File:
    """One file, as it was before anything was read of it.

    Attributes:
        path: The file; links are followed.
        stamp: What it was.
        changed: When anything of it changed, its times included, nanoseconds since 1970.
        young: It could be written again without a new time.
        sha256: The hash of its content, when it is there.
    """

    path: Path
    stamp: FileStamp
    changed: int
    young: bool
    sha256: Future[str]

    def is_same(self, status: os.stat_result, *, whole: bool) -> bool:
        """Whether the file is as it was.

        Args:
            status: What it is now.
            whole: Nothing of it has changed at all. Else its owner, its rights or the number of its
                names may have, or its time was set back after it was written.
        """
        same = FileStamp.of(status) == self.stamp
        return same and (not whole or status.st_ctime_ns == self.changed)


def is_read(name: str) -> bool:
    """Whether a file of a model's folder can change what is computed."""
    return is_weight_file(name) or name.endswith(_SUFFIXES) or name in _NAMES


def file_states(folder: Path) -> dict[str, FileStamp]:
    """File name to state of every file of a model's folder that can change what is computed.

    Raises:
        OSError: The folder or a file cannot be looked at.
    """
    return {name: FileStamp.of((folder / name).stat()) for name in _read_names(folder)}


def _read_names(folder: Path) -> list[str]:
    names = [path.name for path in folder.iterdir() if is_read(path.name)]
    templates = folder / _TEMPLATES
    if templates.is_dir():
        names += [f"{_TEMPLATES}/{path.name}" for path in templates.glob("*.jinja")]
    return sorted(names)


class ModelContent:
    """The files of a model's folder, watched.

    Used as a context: at its end no more is hashed.

    Attributes:
        folder: The model's folder.
    """

    def __init__(
        self, folder: Path, *, threads: int = 1, names: tuple[str, ...] | None = None
    ) -> None:
        """Look at the files, and begin to hash them.

        Args:
            folder: The model's folder.
            threads: How many files are hashed at a time.
            names: The files in it that are read; None for all that a model is made of.

        Raises:
            QfidError: The folder or a file cannot be looked at.
        """
        self.folder = folder
        self._only = names
        self._ended = threading.Event()
        self._files = {name: self._look(folder / name) for name in self._names()}
        self._pool = ThreadPoolExecutor(threads, "qfid-hashes")
        # The small ones first: they are asked for first.
        for file in sorted(self._files.values(), key=lambda file: file.stamp.size):
            self._pool.submit(self._hash, file)
        self._pool.shutdown(wait=False)

    @property
    def stamps(self) -> dict[str, FileStamp]:
        """File name to what the file was before it was read."""
        return {name: file.stamp for name, file in self._files.items()}

    @property
    def is_known(self) -> bool:
        """Whether every hash is there."""
        return all(file.sha256.done() for file in self._files.values())

    def hashes(self) -> dict[str, str]:
        """File name to SHA-256 of its content, hexadecimal; waits for those that are not there.

        Raises:
            QfidError: A file was changed since it was looked at, or cannot be read.
        """
        return {name: file.sha256.result() for name, file in self._files.items()}

    def known_hashes(self) -> dict[str, str]:
        """Those of :meth:`hashes` that are there.

        Raises:
            QfidError: As :meth:`hashes`.
        """
        files = self._files.items()
        return {name: file.sha256.result() for name, file in files if file.sha256.done()}

    def digest(self) -> str | None:
        """One SHA-256 of all names and hashes, hexadecimal; None while one is not there.

        Raises:
            QfidError: As :meth:`hashes`.
        """
        return digest_of(self.hashes()) if self.is_known else None

    def check_read(self) -> None:
        """Check that the files just read are those that were looked at, and no others.

        Raises:
            ModelChanged: A file was changed, replaced, removed or added.
        """
        self._check_stamps(whole=True)
        added = sorted(set(self._names()) - set(self._files))
        if added:
            raise self._changed(added[0], "was added")

    def check_unchanged(self) -> None:
        """Check, after the last chunk, that the hashes are of what was read.

        Waits for the hashes. A file that is young, or whose time may have been set back, is hashed
        again.

        Raises:
            QfidError: A file was changed, replaced or removed, or cannot be read.
        """
        hashes = self.hashes()
        self._check_stamps()
        for name, file in self._files.items():
            status = self._status(file.path)
            if file.young or status.st_ctime_ns != file.changed:
                if self._sha256(file, whole=False) != hashes[name]:
                    raise self._changed(name, "was changed")
        self._check_stamps()

    def foreign_blobs(self) -> list[str]:
        """Names of files in a Hub cache whose content is not what their blob is named after.

        Waits for the hashes. Large files are named by their SHA-256, small ones by the hash that
        git gives them.

        Raises:
            QfidError: As :meth:`hashes`.
        """
        hashes = self.hashes()
        found = []
        for name, file in self._files.items():
            blob = blob_name(file.path)
            if blob is None:
                continue
            if len(blob) == 64:
                own = hashes[name]
            else:
                own = _git_hash(file.path)
            if own != blob:
                found.append(name)
        return found

    def close(self) -> None:
        """Hash no more."""
        self._ended.set()

    def __enter__(self) -> ModelContent:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _names(self) -> list[str]:
        if self._only is not None:
            return list(self._only)
        try:
            return _read_names(self.folder)
        except OSError as error:
            raise self._unreadable(self.folder, error) from error

    def _look(self, path: Path) -> _File:
        status = self._status(path)
        age = time.time() - status.st_mtime
        return _File(path, FileStamp.of(status), status.st_ctime_ns, age < _YOUNG_SECONDS, Future())

    def _status(self, path: Path) -> os.stat_result:
        try:
            return path.stat()
        except OSError as error:
            raise self._changed(path.name, "was removed") from error

    def _check_stamps(self, *, whole: bool = False) -> None:
        for name, file in self._files.items():
            if not file.is_same(self._status(file.path), whole=whole):
                raise self._changed(name, "was changed or replaced")

    def _hash(self, file: _File) -> None:
        if sys.platform == "linux":
            # Elsewhere a thread has no priority of its own, and its number may be another process.
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        try:
            real = file.path.resolve()
            large = file.stamp.size > _SMALL_BYTES
            found = kept_hash(real, file.stamp, file.changed) if large else None
            if found is None:
                found = self._sha256(file)
                if large and not file.young:
                    keep_hash(real, file.stamp, file.changed, found)
            file.sha256.set_result(found)
        except BaseException as error:
            file.sha256.set_exception(error)

    def _sha256(self, file: _File, *, whole: bool = True) -> str:
        """Hash a file.

        Args:
            file: The file.
            whole: As of :meth:`_File.is_same`.

        Raises:
            QfidError: It is not what it was when it was looked at, or cannot be read.
        """
        digest = hashlib.sha256()
        try:
            with open_regular(file.path) as stream:
                before = os.fstat(stream.fileno())
                while block := stream.read(_BLOCK):
                    if self._ended.is_set():
                        raise QfidError("hashing the model's files was stopped")
                    digest.update(block)
                after = os.fstat(stream.fileno())
        except OSError as error:
            raise self._unreadable(file.path, error) from error
        if not (file.is_same(before, whole=whole) and file.is_same(after, whole=whole)):
            raise self._changed(file.path.name, "was changed or replaced")
        return digest.hexdigest()

    def _changed(self, name: str, what: str) -> ModelChanged:
        return ModelChanged(
            f"{shown(name)} of the model `{self.folder}` {what} while it was scored: "
            "no report can say which of the two the numbers are of",
            "score it again with `qfid kv` once its folder stays as it is",
        )

    def _unreadable(self, path: Path, error: OSError) -> QfidError:
        return QfidError(f"`{path}` cannot be read: {error.strerror or error}")


def _git_hash(path: Path) -> str:
    """The hash that git gives to the content of a file, hexadecimal."""
    with path.open("rb") as content:
        size = os.fstat(content.fileno()).st_size
        digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
