"""Fetches a model that is only half in the cache: asks with its size first, then says how far."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from textual.screen import Screen

from qfid_tui.app.screens.confirm import ask
from qfid_tui.app.state_owner import StateOwner
from qfid_tui.state.app_hints import error_text
from qfid_tui.state.kv_cost import short_bytes
from scorer.common.error_text import first_line
from scorer.common.errors import Interrupted, QfidError
from scorer.common.inert_text import inert

if TYPE_CHECKING:
    from scorer.download.progress import DownloadProgress

_FAULT_SECONDS = 12.0
_SECONDS_BETWEEN = 0.25


class ModelDownload:
    """One download at a time, in a thread of its own that keeps nothing alive."""

    def __init__(self, screen: Screen[None], owner: StateOwner) -> None:
        """Make it; nothing is fetched yet.

        Args:
            screen: The screen of the workbench.
            owner: The owner of its state, which shows the progress.
        """
        self._screen, self._owner = screen, owner
        self._repo = ""
        self._arrived: Callable[[], object] = lambda: None
        self._stop = threading.Event()

    def ask(self, repo: str, arrived: Callable[[], object]) -> None:
        """Find out how much a model lacks, and ask whether to fetch it.

        Args:
            repo: Repo id of a model that is not whole; while one is being fetched, the question is
                whether to stop that.
            arrived: Called when it has been fetched.
        """
        if self._repo:
            question = f"{inert(self._repo)} is being fetched. What arrived whole is kept. Stop?"
            ask(self._screen.app, question, "Stop", "Keep on", self.stop)
            return
        self._arrived = arrived
        self._begin(repo, "asking the Hub …", self._ask)

    def stop(self) -> None:
        """End the download when its next bytes arrive."""
        self._stop.set()

    def _begin(self, repo: str, said: str, work: Callable[[str], None]) -> None:
        self._repo, self._stop = repo, threading.Event()
        self._show(said)
        threading.Thread(target=self._in_thread, args=(work, repo), daemon=True).start()

    def _in_thread(self, work: Callable[[str], None], repo: str) -> None:
        try:
            work(repo)
        except Interrupted as error:
            self._call(self._end, error.message)
        except QfidError as error:
            text = error_text(error, self._owner.state.key_names)
            self._call(self._end, text, "error", _FAULT_SECONDS)
        except Exception as error:
            text = f"{repo} could not be fetched: {first_line(error)}"
            self._call(self._end, text, "error", _FAULT_SECONDS)

    def _call(self, call: Callable[..., object], *arguments: Any) -> None:
        # The app is gone: nobody listens.
        with contextlib.suppress(RuntimeError):
            self._screen.app.call_from_thread(call, *arguments)

    def _end(self, *notice: Any) -> None:
        self._repo = ""
        self._show("")
        self._owner.tell(*notice)

    def _show(self, text: str) -> None:
        self._owner.update(self._owner.state.changed(fetching=text))

    def _ask(self, repo: str) -> None:
        from scorer.download.pull import missing_bytes

        size = short_bytes(missing_bytes(repo))

        def known() -> None:
            self._end("")
            question = f"{inert(repo)} is not whole: {size} are missing. Fetch them?"
            ask(
                self._screen.app,
                question,
                "Fetch",
                "Do not",
                lambda: self._begin(repo, f"fetching {size} …", self._fetch),
            )

        self._call(known)

    def _fetch(self, repo: str) -> None:
        from scorer.download.pull import pull

        stop, shown = self._stop, 0.0

        def show(progress: DownloadProgress) -> None:
            nonlocal shown
            if stop.is_set():
                raise Interrupted("The download was stopped; files that arrived whole are kept")
            if time.monotonic() - shown >= _SECONDS_BETWEEN:
                shown = time.monotonic()
                self._call(self._show, progress_text(progress))

        pull(repo, None, show)

        def arrived() -> None:
            self._end(f"{repo} is here")
            self._arrived()

        self._call(arrived)


def progress_text(progress: DownloadProgress) -> str:
    """``fetching 120 MiB of 1.2 GiB, 10 %``."""
    done = short_bytes(progress.done)
    if not progress.total:
        return f"fetching {done}"
    share = 100 * progress.done / progress.total
    return f"fetching {done} of {short_bytes(progress.total)}, {share:.0f} %"
