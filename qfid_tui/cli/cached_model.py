"""The model a command needs, brought here first where the user agrees."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from qfid_tui.cli import diagnostics
from scorer.common.errors import ModelNotCached
from scorer.common.inert_text import inert

if TYPE_CHECKING:
    from scorer.models.info import ModelInfo

_YES = ("y", "yes")


def ensure_model(
    model: str, revision: str | None, *, allow_custom_code: bool, pull: bool
) -> ModelInfo:
    """Find a model on this machine; download it where that is wanted.

    Args:
        model: Repo id, path of a folder, or ``demo``.
        revision: Commit, branch or tag; None for what is cached.
        allow_custom_code: Accept a model that runs Python of its own.
        pull: Download without asking. Otherwise a user at a terminal is asked.

    Raises:
        ModelNotCached: It is not here and was not to be downloaded.
        InputError: It cannot be scored or not be downloaded.
    """
    from qfid_tui.cli.download import download
    from scorer.models.resolve import resolve_model

    try:
        return resolve_model(model, revision, allow_custom_code=allow_custom_code)
    except ModelNotCached as error:
        if not pull and not _agreed(error):
            raise
        download(error.repo, error.revision, allow_custom_code=allow_custom_code)
    return resolve_model(model, revision, allow_custom_code=allow_custom_code)


def _agreed(error: ModelNotCached) -> bool:
    """Ask a user who can see the question and answer it."""
    if sys.stdin is None or not sys.stdin.isatty() or not diagnostics.on_terminal():
        return False
    diagnostics.write(f"{inert(error.message)}. download {inert(error.repo)}? [y/N] ")
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        diagnostics.write("\n")
    return answer.strip().lower() in _YES
