"""A download at the command line, with progress on standard error; Ctrl-C ends it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from qfid_tui.cli import diagnostics
from scorer.common.errors import Interrupted
from scorer.common.inert_text import inert
from scorer.common.interrupts import Interrupts

if TYPE_CHECKING:
    from scorer.download.dataset_files import CachedSplit
    from scorer.download.progress import DownloadProgress
    from scorer.spec.corpora import HubText

Found = TypeVar("Found")


def download(repo: str, revision: str | None, *, allow_custom_code: bool = False) -> Path:
    """Download a model with progress on standard error; return its folder.

    Ctrl-C ends it when the next bytes arrive, a second Ctrl-C at once: the threads of
    huggingface_hub would otherwise complete their files.

    Args:
        repo: Repo id.
        revision: Commit, branch or tag; None for ``main``.
        allow_custom_code: Accept a model with Python code of its own.

    Raises:
        InputError: It cannot be downloaded or scored.
        Interrupted: The user stopped it.
    """
    from scorer.download.pull import pull

    return _shown(
        repo, lambda show: pull(repo, revision, show, allow_custom_code=allow_custom_code)
    )


def download_split(text: HubText, *, newest: bool = False) -> CachedSplit:
    """Find a split of a data set in the cache, or download it with progress on standard error.

    Args:
        text: The split.
        newest: Ask the Hub for the newest commit also where one is cached.

    Raises:
        InputError: It cannot be downloaded, or the data set has no such part.
        Interrupted: The user stopped it.
    """
    from scorer.download.dataset import fetch_split

    return _shown(text.repo, lambda show: fetch_split(text, show, newest=newest))


def _shown(repo: str, fetch: Callable[[Callable[[DownloadProgress], None]], Found]) -> Found:
    """Fetch something of a repo with progress, until the user stops it."""
    display = DownloadDisplay(repo)
    stop = threading.Event()

    def show(progress: DownloadProgress) -> None:
        if stop.is_set():
            raise Interrupted("the download was stopped", "files that arrived whole are kept")
        display.show(progress)

    with _stopped_by_interrupt(stop):
        try:
            return fetch(show)
        finally:
            display.end()


@contextlib.contextmanager
def _stopped_by_interrupt(stop: threading.Event) -> Iterator[None]:
    interrupts = Interrupts()

    def interrupt(*_: Any) -> None:
        request = interrupts.add()
        if request == "first":
            stop.set()
        elif request == "again":
            diagnostics.write_from_handler("\n")
            os._exit(Interrupted.exit_code)

    if threading.current_thread() is not threading.main_thread():
        # Python allows signal handlers only in the main thread.
        yield
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)


class DownloadDisplay:
    """Shows a download: a line that is rewritten on a terminal, else a line per quarter."""

    def __init__(self, repo: str) -> None:
        self._repo = inert(repo)
        self._terminal = diagnostics.on_terminal()
        self._last_step = -1

    def show(self, progress: DownloadProgress) -> None:
        """Show the progress; called from the threads of the download."""
        done = f"{progress.done / 1e6:.0f}"
        if progress.total:
            part = progress.done / progress.total
            text = f"{done} of {progress.total / 1e6:.0f} MB, {100 * part:.0f} %"
            step = int(100 * part) if self._terminal else int(4 * part)
        else:
            text, step = f"{done} MB", progress.done // (1 << 20 if self._terminal else 1 << 28)
        if step <= self._last_step:
            return
        self._last_step = step
        line = f"downloading {self._repo}: {text}"
        diagnostics.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")

    def end(self) -> None:
        """End the line that is rewritten."""
        if self._terminal and self._last_step >= 0:
            diagnostics.write("\n")
