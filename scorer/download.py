"""Fetching models and corpus files from the Hugging Face Hub into its local cache."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from scorer.architectures import architecture_of
from scorer.download_progress import DownloadProgress, ProgressMeter
from scorer.errors import CorpusNotCached, InputError, QfidError
from scorer.hub import check_revision, hub_folder, is_repo_id
from scorer.model_config import ModelConfig, read_object, shown
from scorer.model_files import (
    ALLOW_CUSTOM_CODE,
    ModelFiles,
    check_is_model,
    check_tokenizer,
    check_weights,
)
from scorer.models import resolve_model
from scorer.weight_files import INDEX, is_weight_file

# Read before anything large is fetched, to refuse by name what could not be scored.
_READ_FIRST = ("config.json", "tokenizer_config.json", INDEX)
_WANTED_ENDINGS = (".json", ".jinja", ".txt", ".model", ".tiktoken")

Report = Callable[[DownloadProgress], None]


def pull(
    repo: str,
    revision: str | None = None,
    on_progress: Report | None = None,
    *,
    allow_custom_code: bool = False,
) -> Path:
    """Download a model, after checking from its small files that it can be scored.

    Fetches configuration, tokenizer and ``model*.safetensors``; never a pickle, and Python files
    only with ``allow_custom_code``. What is here already is not fetched again.

    Args:
        repo: Repo id.
        revision: Branch, tag or commit; None for ``main``.
        on_progress: Called as bytes arrive, from the threads of the download. What it raises
            ends the download.
        allow_custom_code: Accept a model that runs Python of its own.

    Returns:
        The snapshot's folder in the cache.

    Raises:
        InputError: The Hub cannot be reached or refuses, the disk is full, or the model could not
            be scored.
    """
    if not is_repo_id(repo):
        raise InputError(f"{shown(repo)} is not a repo id", "write a repo as org/name")
    if revision is not None:
        check_revision(revision)
    with _explained(repo, revision):
        from huggingface_hub import HfApi

        info = HfApi().model_info(repo, revision=revision, files_metadata=True)
    commit = info.sha or revision or "main"
    sizes = {
        file.rfilename: file.size or 0
        for file in info.siblings or []
        if "/" not in file.rfilename and ".." not in file.rfilename
    }
    _check_before(repo, commit, sizes, allow_custom_code)
    wanted = {name: size for name, size in sizes.items() if _wanted(name, allow_custom_code)}
    _check_disk(repo, wanted)
    folder = _fetch(repo, commit, wanted, on_progress)
    _remember(folder, revision or "main", commit)
    resolve_model(repo, commit, allow_custom_code=allow_custom_code)
    return folder


def _wanted(name: str, allow_custom_code: bool) -> bool:
    return (
        is_weight_file(name)
        or (name.endswith(_WANTED_ENDINGS) and not set(name) & set("*?["))
        or (allow_custom_code and name.endswith(".py"))
    )


def _check_before(repo: str, commit: str, sizes: dict[str, int], allow_custom_code: bool) -> None:
    """Refuse a model by its list of files and its small ones.

    Raises:
        InputError: It could not be scored.
    """
    listed = ModelFiles(Path(repo), sizes=sizes)
    try:
        check_is_model(listed)
        for name in _READ_FIRST:
            if name in sizes:
                listed.folder = _fetch_file(repo, name, commit, "model").parent
        config = read_object(listed.folder / "config.json")
        code = ModelConfig(config).text("model_file")
        if code is None:
            architecture_of(config)
        elif not allow_custom_code:
            raise InputError(f"it runs code of its own: {shown(code)}", ALLOW_CUSTOM_CODE)
        check_weights(listed)
        check_tokenizer(listed, allow_custom_code=allow_custom_code)
    except InputError as error:
        hint = error.hint or "pick another model"
        if error.message.startswith(f"`{repo}`"):
            raise
        raise InputError(f"`{repo}`: {error.message}", hint) from None


def _check_disk(repo: str, wanted: dict[str, int]) -> None:
    hub = hub_folder()
    existing = next((path for path in (hub, *hub.parents) if path.exists()), None)
    if existing is None:
        return
    free, needed = shutil.disk_usage(existing).free, sum(wanted.values())
    if needed > free and not _is_here(hub, repo):
        raise InputError(
            f"`{repo}` needs {needed / 1e9:.1f} GB and the disk of `{hub}` has {free / 1e9:.1f}",
            "free some space, or set HF_HOME to a folder on another disk",
        )


def _is_here(hub: Path, repo: str) -> bool:
    return (hub / f"models--{repo.replace('/', '--')}" / "blobs").exists()


def _fetch(repo: str, commit: str, wanted: dict[str, int], on_progress: Report | None) -> Path:
    from huggingface_hub import snapshot_download

    snapshot = hub_folder() / f"models--{repo.replace('/', '--')}" / "snapshots" / commit
    already = sum(size for name, size in wanted.items() if (snapshot / name).exists())
    total = sum(wanted.values()) or None
    meter = ProgressMeter(total, already, on_progress or _ignore)
    with _explained(repo, commit):
        meter.advance(0)
        folder = snapshot_download(
            repo,
            revision=commit,
            cache_dir=hub_folder(),
            allow_patterns=sorted(wanted),
            tqdm_class=meter.bar_class(),
        )
        if total is not None:
            meter.advance(total)
    return Path(folder)


def _ignore(progress: DownloadProgress) -> None:
    """Nobody asked."""


def _remember(folder: Path, revision: str, commit: str) -> None:
    """Point the revision's name at the snapshot, once it is complete."""
    if commit.startswith(revision):
        return
    ref = folder.parent.parent / "refs" / revision
    with contextlib.suppress(OSError):
        ref.parent.mkdir(parents=True, exist_ok=True)
        aside = ref.with_name(f"{ref.name}.{os.getpid()}.tmp")
        aside.write_text(commit, encoding="ascii")
        aside.replace(ref)


def fetch_dataset_file(repo: str, filename: str, revision: str) -> Path:
    """Download one file of a dataset, or find it in the cache.

    Args:
        repo: Repo id of the dataset.
        filename: Path inside the repo.
        revision: Full commit; then a cached file is found without any network traffic.

    Returns:
        The file in the cache.

    Raises:
        CorpusNotCached: The file is not cached and cannot be fetched; says why.
    """
    try:
        return _fetch_file(repo, filename, revision, "dataset")
    except InputError as error:
        raise CorpusNotCached(error.message, error.hint) from None


def _fetch_file(repo: str, filename: str, revision: str, kind: str) -> Path:
    with _explained(repo, revision), _no_bars():
        from huggingface_hub import hf_hub_download

        return Path(
            hf_hub_download(
                repo, filename, repo_type=kind, revision=revision, cache_dir=hub_folder()
            )
        )


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    drawn = not are_progress_bars_disabled()
    if drawn:
        disable_progress_bars()
    try:
        yield
    finally:
        if drawn:
            enable_progress_bars()


@contextlib.contextmanager
def _explained(repo: str, revision: str | None) -> Iterator[None]:
    """Turn what the Hub's library raises into one error with a hint."""
    try:
        yield
    except QfidError:
        raise
    except Exception as error:
        raise _explain(error, repo, revision) from error


def _explain(error: Exception, repo: str, revision: str | None) -> InputError:
    from huggingface_hub import errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        return InputError(
            f"`{repo}` is gated: its owner wants its terms accepted",
            f"accept them at https://huggingface.co/{repo}, then run `hf auth login`",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return InputError(
            f"`{repo}` has no revision `{revision}`", "give a commit, a branch or a tag"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return InputError(
            f"there is no public repo `{repo}`",
            "check the spelling; for a private one run `hf auth login`",
        )
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return InputError(f"`{repo}` has no such file at `{revision}`", "check its files")
    if _caused_by(error, errors.OfflineModeIsEnabled):
        return InputError(
            f"`{repo}` is not in the local cache and HF_HUB_OFFLINE forbids the network",
            "unset HF_HUB_OFFLINE, or fetch it on another machine and copy the cache",
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return InputError(
            f"the disk is full while fetching `{repo}`", "free some space and pull again"
        )
    if status is not None:
        return InputError(f"the Hub answered {status} for `{repo}`", "try again later")
    return InputError(
        f"`{repo}` could not be fetched: {_first_line(error)}",
        "check the network; what has arrived is kept",
    )


def _caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, kind):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def _first_line(error: Exception) -> str:
    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
    text = next(iter(str(root).strip().splitlines()), "")
    return f"{type(root).__name__}: {text[:120]}" if text else type(root).__name__
