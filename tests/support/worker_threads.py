"""The threads that score batches."""

from __future__ import annotations

import threading


def workers_alive() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "qfid-worker"]
