"""Finds the model of a command, and downloads it first if the user agrees."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from qfid_tui.cli import diagnostics
from qfid_tui.state.paths import absolute
from scorer.common.errors import ModelNotCached
from scorer.common.inert_text import inert

if TYPE_CHECKING:
    from scorer.models.info import ModelInfo
    from scorer.spec.job import Job

_YES = ("y", "yes")


def ensure_model(
    model: str, revision: str | None, *, allow_custom_code: bool, pull: bool
) -> ModelInfo:
    """Find a model on this machine, or download it.

    Args:
        model: Repo id, path of a folder, or ``demo``.
        revision: Commit, branch or tag; None for the cached default.
        allow_custom_code: Download the Python files of a model that runs its own. Whether they may
            run is asked by whoever runs them.
        pull: Download without asking; else ask the user if there is a terminal.

    Raises:
        ModelNotCached: It is not cached and the user did not agree to a download.
        InputError: It cannot be scored or downloaded.
    """
    from qfid_tui.cli.download import download
    from scorer.models.resolve import resolve_model

    try:
        return resolve_model(model, revision, allow_custom_code=True)
    except ModelNotCached as error:
        if not pull and not _agreed(error):
            raise
        download(error.repo, error.revision, allow_custom_code=allow_custom_code)
    return resolve_model(model, revision, allow_custom_code=True)


def ensure_models(job: Job, *, allow_custom_code: bool, pull: bool) -> ModelInfo:
    """Find the model of a job and every quantized copy that it names, or download them.

    Returns:
        The job's model.

    Raises:
        ModelNotCached: As of :func:`ensure_model`.
        InputError: Likewise.
    """
    from scorer.models.gguf.file import open_gguf
    from scorer.spec.settings.weights import StoredWeights, sources_of

    allowed = allow_custom_code
    info = ensure_model(job.model, job.revision, allow_custom_code=allowed, pull=pull)
    for source in sources_of(job.settings):
        if isinstance(source, StoredWeights) and source.is_gguf:
            # No repo to download; what is no GGUF file is refused before anything is started.
            open_gguf(Path(source.model))
        elif isinstance(source, StoredWeights):
            ensure_model(source.model, source.revision, allow_custom_code=allowed, pull=pull)
    return info


def _agreed(error: ModelNotCached) -> bool:
    """Ask the user, if input and standard error are a terminal."""
    if sys.stdin is None or not sys.stdin.isatty() or not diagnostics.on_terminal():
        return False
    diagnostics.write(f"{inert(error.message)}. download {inert(error.repo)}? [y/N] ")
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        diagnostics.write("\n")
    return answer.strip().lower() in _YES


def absolute_model(model: str, folder: Path) -> str:
    """The name of a model; of a local one its absolute path, which holds from any folder.

    Args:
        model: As the user wrote it.
        folder: Where the model was found.
    """
    try:
        is_folder = Path(model).expanduser() == folder
    except RuntimeError:
        is_folder = False
    return absolute(model) if is_folder else model
