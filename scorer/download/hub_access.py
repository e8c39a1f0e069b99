"""How the Hub is asked: quietly, bounded, and with errors that say what to do."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from scorer.common.error_text import first_line
from scorer.common.errors import InputError, QfidError
from scorer.common.loans import GiveBack, Loan
from scorer.download.progress import DownloadProgress, ProgressMeter
from scorer.download.reachable import check_reachable
from scorer.download.sizes import refuse_more
from scorer.download.variables import check_variables
from scorer.models.hub_cache import hub_folder

ProgressCallback = Callable[[DownloadProgress], None]


class Offline(InputError):
    """HF_HUB_OFFLINE forbids a request to the Hub."""


def no_progress(progress: DownloadProgress) -> None:
    """Do nothing: the default of ``on_progress``."""


def write_ref(folder: Path, revision: str, commit: str) -> None:
    """Write the commit of a complete snapshot to the ref of its revision."""
    if commit.startswith(revision):
        return
    ref = folder.parent.parent / "refs" / revision
    with contextlib.suppress(OSError):
        ref.parent.mkdir(parents=True, exist_ok=True)
        temporary = ref.with_name(f"{ref.name}.{os.getpid()}.tmp")
        temporary.write_text(commit, encoding="ascii")
        temporary.replace(ref)


def fetch_file(
    repo: str,
    filename: str,
    revision: str,
    kind: str,
    most: int,
    on_progress: ProgressCallback = no_progress,
) -> Path:
    """Download one file, or find it in the cache.

    Args:
        repo: Repo id.
        filename: Path inside the repo.
        revision: Full commit.
        kind: ``model`` or ``dataset``.
        most: Bytes that it may have.
        on_progress: Called as bytes arrive.

    Raises:
        InputError: The Hub cannot be reached or refuses, or sends more.
    """
    meter = ProgressMeter(None, 0, on_progress, refuse_more(repo, most))
    with explained(repo, revision), quiet:
        from huggingface_hub import hf_hub_download, try_to_load_from_cache

        hub = hub_folder()
        known = try_to_load_from_cache(repo, filename, hub, revision, kind)
        if not isinstance(known, str):
            check_variables()
            check_reachable()
        return Path(
            hf_hub_download(
                repo,
                filename,
                repo_type=kind,
                revision=revision,
                cache_dir=hub,
                tqdm_class=meter.bar_class(),
            )
        )


def _take_quiet() -> GiveBack:
    from huggingface_hub.utils import logging as hub_logging
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    verbosity, enabled = hub_logging.get_verbosity(), not are_progress_bars_disabled()
    hub_logging.set_verbosity(logging.ERROR)
    if enabled:
        disable_progress_bars()

    def give_back() -> None:
        hub_logging.set_verbosity(verbosity)
        if enabled:
            enable_progress_bars()

    return give_back


quiet = Loan(_take_quiet)
"""Suppresses the progress bars and the log of huggingface_hub; qfid shows the progress."""


@contextlib.contextmanager
def explained(repo: str, revision: str | None) -> Iterator[None]:
    """Convert the exceptions of huggingface_hub into errors with a hint."""
    try:
        yield
    except QfidError:
        raise
    except Exception as error:
        raise _explain(error, repo, revision) from error


def _explain(error: Exception, repo: str, revision: str | None) -> InputError:
    from huggingface_hub import errors

    if _caused_by(error, errors.GatedRepoError):
        return InputError(
            f"`{repo}` is gated: its owner wants its terms accepted",
            f"accept them at https://huggingface.co/{repo}, then run `hf auth login`",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return InputError(
            f"`{repo}` has no revision `{revision}`", "give a commit, a branch or a tag"
        )
    status = _status(error)
    # Without a login the Hub answers 401, not 404, for a repo that is missing or private.
    if isinstance(error, errors.RepositoryNotFoundError) or status == 401:
        return InputError(
            f"there is no public repo `{repo}`",
            "check the spelling; for a private one run `hf auth login`",
        )
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return InputError(f"`{repo}` has no such file at `{revision}`", "check its files")
    if _caused_by(error, errors.OfflineModeIsEnabled):
        return Offline(
            f"`{repo}` is not in the local cache and HF_HUB_OFFLINE forbids the network",
            "unset HF_HUB_OFFLINE, or fetch it on another machine and copy the cache",
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return InputError(
            f"the disk is full while fetching `{repo}`", "free some space and pull again"
        )
    if status == 403:
        return InputError(
            f"the Hub does not let you read `{repo}`", "`hf auth login` with a token that may"
        )
    if status is not None:
        return InputError(f"the Hub answered {status} for `{repo}`", "try again later")
    return InputError(
        f"`{repo}` could not be fetched: {_root_cause(error)}",
        "check the network and pull again; files that arrived whole are kept",
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and the chain of its causes."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__


def _caused_by(error: BaseException, kind: type[BaseException]) -> bool:
    return any(isinstance(each, kind) for each in _causes(error))


def _status(error: BaseException) -> int | None:
    """Return the status of the HTTP response that caused an error, or None."""
    for each in _causes(error):
        status = getattr(getattr(each, "response", None), "status_code", None)
        if isinstance(status, int) and status >= 400:
            return status
    return None


def _root_cause(error: Exception) -> str:
    """Return the class and first line of the first exception in the chain of causes."""
    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
    name, text = type(root).__name__, first_line(root, empty="")
    return f"{name}: {text[:120]}" if text else name
