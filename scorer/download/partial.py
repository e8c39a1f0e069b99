"""Partial downloads in the cache: counts the missing bytes and removes damaged files.

huggingface_hub assumes that an existing file is complete and never checks it again.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scorer.common.errors import InputError
from scorer.models.files import scan_folder
from scorer.models.hub_cache import is_commit, link_bounds, repo_folder


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file in the Hub's listing of a repo.

    Attributes:
        size: Bytes, or None if the Hub does not state them.
        blob: Name of its blob in the cache (SHA-256 of a large file, git hash of a small one), or
            None if the Hub does not state it.
    """

    size: int | None
    blob: str | None


def listed_files(info: Any, repo: str) -> tuple[str, dict[str, RemoteFile]]:
    """The commit that the Hub has listed, and its files by path, whatever their paths are.

    Args:
        info: huggingface_hub's ``ModelInfo`` or ``DatasetInfo``, with the metadata of files.
        repo: Repo id, for the message.

    Raises:
        InputError: The Hub names no commit.
    """
    # Checked because it becomes the name of a folder in which files may be removed.
    if info.sha is None or not is_commit(info.sha):
        raise InputError(f"the Hub names no commit of `{repo}`", "try again later")
    files = {
        file.rfilename: RemoteFile(file.size, file.lfs.sha256 if file.lfs else file.blob_id)
        for file in info.siblings or []
    }
    return info.sha, files


class PartialDownload:
    """A commit of a repo in the cache, possibly incomplete."""

    def __init__(self, repo: str, commit: str, hub: Path) -> None:
        """Name a commit; nothing is read yet.

        Args:
            repo: Repo id.
            commit: Full commit hash.
            hub: The cache folder.
        """
        self._repo = repo
        self._hub = hub
        self._blobs = repo_folder(repo, hub) / "blobs"
        self._snapshot = repo_folder(repo, hub) / "snapshots" / commit

    def drop_damaged(self, files: Mapping[str, RemoteFile]) -> None:
        """Remove broken links and files whose size differs from the Hub's.

        The target of a link is removed only if it is one of the repo's own blobs.

        Raises:
            InputError: The snapshot cannot be read, or is a link out of the cache.
        """
        for file in files.values():
            blob = self._blob(file)
            if blob is not None and file.size is not None and _size(blob) not in (None, file.size):
                _remove(blob)
        if not self._snapshot.is_dir():
            return
        found = scan_folder(self._snapshot, link_bounds(self._repo, self._hub))
        for name, file in files.items():
            pointer = self._snapshot / name
            if name in found.broken:
                _remove(pointer)
                blob = self._blob(file)
                if blob is not None and blob.is_symlink():
                    _remove(blob)
            elif file.size is not None and found.sizes.get(name, file.size) != file.size:
                target = pointer.resolve()
                _remove(pointer)
                if target.parent == self._blobs.resolve():
                    _remove(target)

    def missing_bytes(self, files: Mapping[str, RemoteFile]) -> int:
        """Return the bytes of the files that are not cached yet."""
        return sum(file.size or 0 for name, file in files.items() if not self._has(name, file))

    def _has(self, name: str, file: RemoteFile) -> bool:
        blob = self._blob(file)
        return (self._snapshot / name).exists() or (blob is not None and blob.exists())

    def _blob(self, file: RemoteFile) -> Path | None:
        return self._blobs / file.blob if file.blob and file.blob.isalnum() else None

    def check_disk(self, files: Mapping[str, RemoteFile]) -> None:
        """Refuse a download that does not fit on the disk.

        Raises:
            InputError: More bytes are missing than are free.
        """
        existing = next((path for path in (self._hub, *self._hub.parents) if path.exists()), None)
        if existing is None:
            return
        free, needed = shutil.disk_usage(existing).free, self.missing_bytes(files)
        if needed > free:
            raise InputError(
                f"`{self._repo}` needs {needed / 1e9:.1f} GB more and the disk of `{self._hub}` "
                f"has {free / 1e9:.1f}",
                "free some space, or set HF_HOME to a folder on another disk",
            )


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
