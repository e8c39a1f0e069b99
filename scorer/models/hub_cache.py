"""The local Hugging Face cache: its folder, its repos, and the snapshot of a revision.

Reads the folders directly: huggingface_hub's own scan omits partially downloaded repos, and takes
seconds instead of milliseconds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scorer.common.errors import InputError, ModelNotCached
from scorer.common.regular_files import open_regular

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_REPO_ID = re.compile(rf"(?:{_PART}/)?{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+-]{0,254}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHORT_COMMIT = re.compile(r"[0-9a-f]{4,40}")

DEFAULT_REVISION = "main"


def hub_folder() -> Path:
    """Return the cache folder that the environment variables name.

    Same variables and order as in ``huggingface_hub``: ``HF_HUB_CACHE``, ``HUGGINGFACE_HUB_CACHE``,
    ``HF_HOME``, ``XDG_CACHE_HOME``.

    Raises:
        InputError: They name none, and the user has no home folder.
    """
    environ = os.environ
    hub = environ.get("HF_HUB_CACHE", environ.get("HUGGINGFACE_HUB_CACHE"))
    try:
        if hub is not None:
            return Path(_expanded(hub))
        base = environ.get("XDG_CACHE_HOME", "~/.cache")
        home = environ.get("HF_HOME", str(Path(base, "huggingface")))
        return Path(_expanded(home), "hub")
    except RuntimeError:
        raise InputError(
            "the folder of cached models is not known: this user has no home folder",
            "set HF_HOME to the folder of your Hugging Face cache",
        ) from None


def _expanded(path: str) -> str:
    return os.path.expandvars(str(Path(path).expanduser()))


def is_repo_id(text: str) -> bool:
    """Return whether the text is a valid repo id, ``name`` or ``org/name``."""
    return (
        _REPO_ID.fullmatch(text) is not None
        and "--" not in text
        and ".." not in text
        and not text.endswith(".git")
    )


def is_commit(text: object) -> bool:
    """Return whether the value is a full commit hash, the name of a snapshot's folder."""
    return isinstance(text, str) and _COMMIT.fullmatch(text) is not None


def check_revision(revision: str) -> None:
    """Refuse a revision that cannot be a branch, tag or commit.

    Raises:
        InputError: It is not a valid git name, or contains ``..``.
    """
    if _REVISION.fullmatch(revision) is None or ".." in revision or revision.endswith("/"):
        raise InputError(
            f"`{revision[:60]}` is not a revision", "give a commit, a branch or a tag of the repo"
        )


def pull_command(repo: str, revision: str | None) -> str:
    """Return the command line that downloads a repo."""
    return f"qfid pull {repo}" + (f" --revision {revision}" if revision else "")


def repo_folder(repo: str, hub: Path) -> Path:
    """Return the folder of a model repo in the cache."""
    return hub / f"models--{repo.replace('/', '--')}"


def link_bounds(repo: str, hub: Path, real_hub: str | None = None) -> tuple[str, ...]:
    """Return the real paths of the folders that links in a cached repo may lead to.

    Args:
        repo: Repo id.
        hub: The cache folder.
        real_hub: Its real path, if the caller knows it.
    """
    folder = repo_folder(repo, hub)
    whole = real_hub or os.path.realpath(hub)
    return (whole, os.path.realpath(folder)) if folder.is_symlink() else (whole,)


def cached_repos(hub: Path) -> Iterator[tuple[str, Path]]:
    """Yield the repo id and folder of every model repo in the cache, none without a cache."""
    try:
        with os.scandir(hub) as entries:
            names = [
                entry.name
                for entry in entries
                if entry.name.startswith("models--") and (entry.is_symlink() or entry.is_dir())
            ]
    except OSError:
        return
    for name in names:
        yield name.removeprefix("models--").replace("--", "/"), hub / name


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One revision of a repo in the cache.

    Attributes:
        path: Folder with its files.
        commit: Name of that folder: the full commit hash.
    """

    path: Path
    commit: str


def find_snapshot(repo: str, revision: str | None, hub: Path) -> Snapshot:
    """Return the cached snapshot of a revision.

    Args:
        repo: Repo id.
        revision: Branch, tag, full commit, or a prefix of a commit (at least 4 digits) that only
            one snapshot has; None for ``main``, or for the only snapshot if ``main`` is not cached.
        hub: The cache folder.

    Raises:
        ModelNotCached: The repo or the revision is not cached.
        InputError: The revision is malformed or a prefix of several snapshots, or the repo's folder
            is a link to a missing folder.
    """
    folder = repo_folder(repo, hub)
    if revision is not None:
        check_revision(revision)
    if not folder.is_dir():
        if folder.is_symlink():
            raise InputError(
                f"`{repo}` is a link that leads nowhere",
                "mount the disk it leads to, or remove the link",
            )
        raise _not_cached(repo, revision, f"`{repo}` is not in the local cache")
    snapshots = _snapshots(folder)
    if not snapshots:
        raise _not_cached(repo, revision, f"`{repo}` is only half downloaded: it has no snapshot")
    commit = _read_ref(folder, revision or DEFAULT_REVISION)
    if commit in snapshots:
        # One join, not two: listing models does this hundreds of times.
        return Snapshot(folder / f"snapshots/{commit}", commit)
    if revision is None:
        return _only_snapshot(repo, folder, snapshots, commit)
    fitting = [
        name
        for name in snapshots
        if _SHORT_COMMIT.fullmatch(revision) and name.startswith(revision)
    ]
    if len(fitting) > 1:
        raise InputError(
            f"`{revision}` fits {len(fitting)} cached snapshots of `{repo}`",
            "give more digits of the commit",
        )
    if not fitting:
        raise _not_cached(
            repo, revision, f"revision `{revision}` of `{repo}` is not in the local cache"
        )
    return Snapshot(folder / "snapshots" / fitting[0], fitting[0])


def _only_snapshot(repo: str, folder: Path, snapshots: list[str], commit: str | None) -> Snapshot:
    if commit is not None:
        raise _not_cached(
            repo, None, f"`{repo}` is only half downloaded: its newest revision has no files"
        )
    if len(snapshots) > 1:
        known = ", ".join(name[:12] for name in sorted(snapshots)[:4])
        raise InputError(
            f"{len(snapshots)} revisions of `{repo}` are cached and none is `main`",
            f"give --revision with one of: {known}",
        )
    return Snapshot(folder / "snapshots" / snapshots[0], snapshots[0])


def cached_commits(repo: str, hub: Path) -> list[str]:
    """The revisions of a repo that have a snapshot, the most recently written first."""
    folder = repo_folder(repo, hub)
    found = [commit for commit in _snapshots(folder) if is_commit(commit)]

    def written(commit: str) -> float:
        try:
            return (folder / "snapshots" / commit).stat().st_mtime
        except OSError:
            return 0.0

    return sorted(found, key=written, reverse=True)


def _snapshots(folder: Path) -> list[str]:
    try:
        with os.scandir(f"{folder}/snapshots") as entries:
            return [entry.name for entry in entries if entry.is_dir()]
    except OSError:
        return []


def _read_ref(folder: Path, revision: str) -> str | None:
    if _COMMIT.fullmatch(revision):
        return revision
    try:
        with open_regular(folder / f"refs/{revision}") as file:
            commit = file.read(64).decode("ascii", "replace").strip()
    except (OSError, ValueError):
        return None
    return commit if _COMMIT.fullmatch(commit) else None


def _not_cached(repo: str, revision: str | None, message: str) -> ModelNotCached:
    return ModelNotCached(message, pull_command(repo, revision), repo, revision)


def snapshot_repo(folder: Path) -> tuple[str, str] | None:
    """Return repo id and commit if the folder is a snapshot in a cache, else None."""
    repo = folder.parent.parent.name
    if folder.parent.name != "snapshots" or not repo.startswith("models--"):
        return None
    return repo.removeprefix("models--").replace("--", "/"), folder.name


def folder_bytes(folder: Path) -> int:
    """Return the bytes of the files directly in a folder; 0 if it cannot be read."""
    total = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file():
                    total += entry.stat().st_size
    except OSError:
        pass
    return total
