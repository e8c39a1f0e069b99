"""The model a command needs, brought here first where the user agrees."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from qfid_tui import diagnostics
from scorer.errors import ModelNotCached
from scorer.inert import inert

if TYPE_CHECKING:
    from scorer.download_progress import DownloadProgress
    from scorer.models import ModelInfo

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
    from scorer.models import resolve_model

    try:
        return resolve_model(model, revision, allow_custom_code=allow_custom_code)
    except ModelNotCached as error:
        if not pull and not _agreed(error):
            raise
        _download(error.repo, error.revision, allow_custom_code)
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


def _download(repo: str, revision: str | None, allow_custom_code: bool) -> None:
    from scorer.download import pull

    display = DownloadDisplay(repo)
    try:
        pull(repo, revision, display.show, allow_custom_code=allow_custom_code)
    finally:
        display.end()


class DownloadDisplay:
    """A download on standard error: a line rewritten on a terminal, else a line every quarter."""

    def __init__(self, repo: str) -> None:
        self._repo = inert(repo)
        self._terminal = diagnostics.on_terminal()
        self._told = -1

    def show(self, progress: DownloadProgress) -> None:
        """Show how far it is; called from the download's threads."""
        done = f"{progress.done / 1e6:.0f}"
        if progress.total:
            part = progress.done / progress.total
            text = f"{done} of {progress.total / 1e6:.0f} MB, {100 * part:.0f} %"
            step = int(100 * part) if self._terminal else int(4 * part)
        else:
            text, step = f"{done} MB", progress.done // (1 << 20 if self._terminal else 1 << 28)
        if step <= self._told:
            return
        self._told = step
        line = f"downloading {self._repo}: {text}"
        diagnostics.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")

    def end(self) -> None:
        """End the line that was rewritten."""
        if self._terminal and self._told >= 0:
            diagnostics.write("\n")
