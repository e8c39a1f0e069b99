"""Downloads models and corpus files from the Hugging Face Hub into the local cache."""

from __future__ import annotations

import contextlib
from pathlib import Path

from scorer.common.errors import CorpusNotCached, InputError, ModelNotCached
from scorer.common.inert_text import shown
from scorer.common.offline import allowed
from scorer.download.hub_access import (
    Offline,
    ProgressCallback,
    explained,
    fetch_file,
    no_progress,
    quiet,
    write_ref,
)
from scorer.download.partial import PartialDownload, RemoteFile, listed_files
from scorer.download.progress import ProgressMeter
from scorer.download.reachable import check_reachable
from scorer.download.sizes import MOST_OF_A_TEXT, check_sizes, refuse_more
from scorer.download.variables import check_variables
from scorer.models.architectures import architecture_of
from scorer.models.config import read_object
from scorer.models.custom_code import (
    ALLOW_CUSTOM_CODE,
    hashed_code,
    model_code,
    refusal,
    tokenizer_code,
)
from scorer.models.files import ModelFiles, check_is_model, check_tokenizer, check_weights
from scorer.models.hub_cache import check_revision, hub_folder, is_repo_id
from scorer.models.info import check_measured
from scorer.models.kept_geometry import folder_key, recall
from scorer.models.measuring import measure_folders
from scorer.models.resolve import resolve_model
from scorer.models.weight_files import INDEX, is_weight_file

# Read before large files are downloaded, to refuse a model that cannot be scored.
_READ_FIRST = ("config.json", "tokenizer_config.json", INDEX)
_WANTED_ENDINGS = (".json", ".jinja", ".txt", ".model", ".tiktoken")


def pull(
    repo: str,
    revision: str | None = None,
    on_progress: ProgressCallback | None = None,
    *,
    allow_custom_code: bool = False,
) -> Path:
    """Download a model, after checking its small files for whether it can be scored.

    Downloads configuration, tokenizer and ``model*.safetensors``, never pickle files, and Python
    files only with ``allow_custom_code``. Cached files are not downloaded again.

    Args:
        repo: Repo id.
        revision: Branch, tag or commit; None for ``main``.
        on_progress: Called as bytes arrive, from the threads of the download. An exception ends
            the download.
        allow_custom_code: Accept a model with Python code of its own.

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
    check_variables()
    try:
        commit, files = _list_files(repo, revision)
    except Offline:
        # A complete model needs no download.
        with contextlib.suppress(ModelNotCached):
            return resolve_model(repo, revision, allow_custom_code=allow_custom_code).path
        raise
    partial = PartialDownload(repo, commit, hub_folder())
    partial.drop_damaged(files)
    wanted = {name: file for name, file in files.items() if _wanted(name, allow_custom_code)}
    check_sizes(repo, wanted)
    _check_before(repo, commit, files, allow_custom_code)
    partial.check_disk(wanted)
    folder = _fetch(repo, commit, wanted, partial.missing_bytes(wanted), on_progress)
    write_ref(folder, revision or "main", commit)
    try:
        resolve_model(repo, commit, allow_custom_code=allow_custom_code)
    except ModelNotCached as error:
        # The hint of this error would be to pull again.
        raise InputError(
            error.message, "the files are as large as the Hub says: pick another model"
        ) from None
    return folder


def missing_bytes(repo: str, revision: str | None = None) -> int:
    """Ask the Hub how many bytes :func:`pull` would download now.

    Args:
        repo: Repo id.
        revision: Branch, tag or commit; None for ``main``.

    Raises:
        InputError: The Hub cannot be reached, refuses, or does not answer with a listing.
    """
    check_variables()
    check_reachable()
    commit, files = _list_files(repo, revision)
    wanted = {name: file for name, file in files.items() if _wanted(name, False)}
    return PartialDownload(repo, commit, hub_folder()).missing_bytes(wanted)


def _list_files(repo: str, revision: str | None) -> tuple[str, dict[str, RemoteFile]]:
    """Return the commit of a revision and the files in the top folder of the repo, by name.

    Raises:
        InputError: The Hub cannot be reached, refuses, or does not answer with a listing.
    """
    with explained(repo, revision):
        from huggingface_hub import HfApi

        info = HfApi().model_info(repo, revision=revision, files_metadata=True)
    commit, files = listed_files(info, repo)
    in_top = {name: file for name, file in files.items() if "/" not in name and ".." not in name}
    return commit, in_top


def _wanted(name: str, allow_custom_code: bool) -> bool:
    return (
        is_weight_file(name)
        or (name.endswith(_WANTED_ENDINGS) and not set(name) & set("*?["))
        or (allow_custom_code and name.endswith(".py"))
    )


def _check_before(
    repo: str, commit: str, files: dict[str, RemoteFile], allow_custom_code: bool
) -> None:
    """Refuse a model that cannot be scored, by its list of files and its small files.

    Raises:
        InputError: It cannot be scored.
    """
    listed = ModelFiles(Path(repo), sizes={name: file.size or 0 for name, file in files.items()})
    try:
        check_is_model(listed)
        for name in _READ_FIRST:
            if name in files:
                most = files[name].size or 0
                listed.folder = fetch_file(repo, name, commit, "model", most).parent
        config = read_object(listed.folder / "config.json")
        own = model_code(config)
        if own is None:
            _check_geometry(listed.folder, architecture_of(config))
        check_weights(listed)
        tokenizer = tokenizer_code(listed.folder, config, listed.sizes)
        if not tokenizer:
            check_tokenizer(listed)
        code = own or next(iter(tokenizer), None)
        if code is not None and not allow_custom_code:
            # Nothing of it is here yet.
            named = hashed_code(listed.folder, (code,))
            raise refusal(named, of_model=own is not None, hint=ALLOW_CUSTOM_CODE)
    except InputError as error:
        hint = error.hint or "pick another model"
        if error.message.startswith(f"`{repo}`"):
            raise
        raise InputError(f"`{repo}`: {error.message}", hint) from None


def _check_geometry(folder: Path, architecture: str) -> None:
    """Refuse a model that mlx-lm cannot build from its config, or that keeps no keys and values.

    Where it cannot be measured the download goes on: scoring measures it again.
    """
    key = folder_key(folder)
    if recall(key) is None:
        for _ in measure_folders([(folder, False)]):
            pass
    outcome = recall(key)
    if outcome is not None:
        check_measured(outcome, architecture)


def _fetch(
    repo: str,
    commit: str,
    wanted: dict[str, RemoteFile],
    missing: int,
    on_progress: ProgressCallback | None,
) -> Path:
    from huggingface_hub import snapshot_download

    total = sum(file.size or 0 for file in wanted.values())
    meter = ProgressMeter(
        total or None, total - missing, on_progress or no_progress, refuse_more(repo, total)
    )
    with explained(repo, commit), quiet:
        meter.advance(0)
        folder = snapshot_download(
            repo,
            revision=commit,
            cache_dir=hub_folder(),
            allow_patterns=sorted(wanted),
            tqdm_class=meter.bar_class(),
        )
        meter.advance(total)
    return Path(folder)


def fetch_dataset_file(repo: str, filename: str, revision: str) -> Path:
    """Download one file of a dataset, or find it in the cache.

    Args:
        repo: Repo id of the dataset.
        filename: Path inside the repo.
        revision: Full commit, so that a cached file is found without network access.

    Returns:
        The file in the cache.

    Raises:
        CorpusNotCached: The file is not cached and cannot be downloaded; the message says why.
    """
    try:
        with allowed():
            return fetch_file(repo, filename, revision, "dataset", MOST_OF_A_TEXT)
    except InputError as error:
        raise CorpusNotCached(error.message, error.hint) from None
