"""Modules that a run needs once its model is loaded, imported by a thread while it is read.

pyarrow alone takes a quarter of a second; reading a model leaves the interpreter free.
"""

from __future__ import annotations

import contextlib
import threading


class EarlyImports:
    """The thread that imports them."""

    def __init__(self) -> None:
        self._thread = threading.Thread(target=_import, name="qfid-imports", daemon=True)
        # Where no thread can be started they are imported when they are needed.
        with contextlib.suppress(RuntimeError):
            self._thread.start()

    def wait(self) -> None:
        """Wait until they are imported, or cannot be: whoever needs one is told."""
        if self._thread.ident is not None:
            self._thread.join()


def _import() -> None:
    with contextlib.suppress(Exception):
        import scorer.engine.cells
        import scorer.engine.looks
        import scorer.engine.run_facts
        import scorer.report.formats.markdown
        import scorer.report.from_run
        import scorer.runs.positions_file  # noqa: F401
