"""Where qfid keeps saved runs, and what can be made again."""

from __future__ import annotations

import os
from pathlib import Path


def runs_folder() -> Path:
    """Where runs are saved: ``$QFID_DATA_DIR/runs``, else the user's data folder."""
    chosen = os.environ.get("QFID_DATA_DIR")
    if chosen:
        return Path(chosen).expanduser().absolute() / "runs"
    import platformdirs

    return platformdirs.user_data_path("qfid") / "runs"


def cache_folder() -> Path:
    """Where what can be made again is kept: ``$QFID_DATA_DIR/cache``, else the user's cache."""
    chosen = os.environ.get("QFID_DATA_DIR")
    if chosen:
        return Path(chosen).expanduser().absolute() / "cache"
    import platformdirs

    return platformdirs.user_cache_path("qfid")
