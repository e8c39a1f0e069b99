"""Downloads one split of a data set from the Hub, pinned to the commit that was read."""

from __future__ import annotations

import contextlib
from pathlib import Path

from scorer.common.errors import CorpusNotCached, InputError
from scorer.common.inert_text import shown
from scorer.common.offline import allowed, forbidden_by_user
from scorer.download.dataset_files import (
    CONVERTED,
    CachedSplit,
    Splits,
    cached_split,
    chosen_split,
    data_splits,
)
from scorer.download.hub_access import (
    ProgressCallback,
    explained,
    fetch_file,
    no_progress,
    write_ref,
)
from scorer.download.partial import RemoteFile, listed_files
from scorer.download.progress import DownloadProgress
from scorer.download.reachable import check_reachable
from scorer.download.variables import check_variables
from scorer.models.hub_cache import check_revision, is_repo_id
from scorer.spec.corpora import HubText

MOST_OF_A_SPLIT = 512 << 20
"""Bytes of a split's files: of a longer text a few chunks say as much."""
_MIB = 1 << 20


def fetch_split(
    text: HubText, on_progress: ProgressCallback = no_progress, *, newest: bool = False
) -> CachedSplit:
    """Find a split of a data set in the cache, or download its files.

    Args:
        text: The split; its column is not looked at.
        on_progress: Called as bytes arrive, from the threads of the download.
        newest: Ask the Hub for the newest commit also where one is cached.

    Returns:
        The split, pinned to a commit.

    Raises:
        CorpusNotCached: It is not cached, and the Hub cannot be reached, refuses, or has no such
            data set.
        InputError: It has no such configuration or split, or one that is too large.
    """
    if not is_repo_id(text.repo):
        raise InputError(f"{shown(text.repo)} is not a repo id", "write a data set as org/name")
    if text.revision is not None:
        check_revision(text.revision)
    cached = cached_split(text)
    if cached is not None and (not newest or text.is_pinned or forbidden_by_user()):
        return cached
    if forbidden_by_user():
        raise CorpusNotCached(
            f"`{text.source}` is not in the local Hugging Face cache and HF_HUB_OFFLINE forbids "
            "the network",
            "unset HF_HUB_OFFLINE, or fetch it on another machine and copy the cache",
        )
    try:
        with allowed():
            return _download(text, on_progress)
    except _NoSuchPart:
        raise
    except InputError as error:
        raise CorpusNotCached(error.message, error.hint) from None


class _NoSuchPart(InputError):
    """The data set is there, but not that part of it."""


def _download(text: HubText, on_progress: ProgressCallback) -> CachedSplit:
    check_variables()
    with explained(text.repo, text.revision):
        check_reachable()
    commit, files = _listing(text.repo, text.revision)
    branch = text.revision or "main"
    splits: Splits = data_splits(files)
    try:
        names = chosen_split(splits, text)
    except InputError as error:
        converted = None if text.revision is not None else _converted(text.repo)
        if converted is None:
            raise _NoSuchPart(error.message, error.hint) from None
        (commit, files), branch = converted, CONVERTED
        try:
            names = chosen_split(data_splits(files), text)
        except InputError as found:
            raise _NoSuchPart(found.message, found.hint) from None
    total = _checked_size(text, names, files)
    done = 0
    folder = None
    # The first file comes last: where it is there, all are.
    for name in reversed(names):
        size = files[name].size or 0

        def show(progress: DownloadProgress, done: int = done) -> None:
            on_progress(DownloadProgress(min(done + progress.done, total), total))

        path = fetch_file(text.repo, name, commit, "dataset", size, show)
        folder = Path(str(path)[: -len(name) - 1])
        done += size
    assert folder is not None
    write_ref(folder, branch, commit)
    pinned = HubText(text.repo, text.config, text.split, text.column, commit)
    return CachedSplit(pinned, tuple(folder / name for name in names))


def _listing(repo: str, revision: str | None) -> tuple[str, dict[str, RemoteFile]]:
    """The commit of a revision and the files of the data set, by path."""
    with explained(repo, revision):
        from huggingface_hub import HfApi

        info = HfApi().dataset_info(repo, revision=revision, files_metadata=True)
    commit, files = listed_files(info, repo)
    safe = {
        name: file
        for name, file in files.items()
        if ".." not in name.split("/") and not name.startswith("/")
    }
    return commit, safe


def _converted(repo: str) -> tuple[str, dict[str, RemoteFile]] | None:
    """The same of the Hub's own Parquet files; None where it has made none."""
    with contextlib.suppress(InputError):
        found = _listing(repo, CONVERTED)
        return found if data_splits(found[1]) else None
    return None


def _checked_size(text: HubText, names: tuple[str, ...], files: dict[str, RemoteFile]) -> int:
    sizes = [files[name].size for name in names]
    if any(size is None or size < 0 for size in sizes):
        raise _NoSuchPart(
            f"the Hub does not say how large split `{text.split}` of `{text.repo}` is",
            "try again later, or name a file of text",
        )
    total = sum(size or 0 for size in sizes)
    if total > MOST_OF_A_SPLIT:
        raise _NoSuchPart(
            f"split `{text.split}` of `{text.repo}` has {total / _MIB:.0f} MiB; at most "
            f"{MOST_OF_A_SPLIT // _MIB} are fetched of a text",
            "take a smaller split, or download a part and name that file as the text",
        )
    return total
