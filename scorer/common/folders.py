"""The folders of saved runs and of cached files."""

from __future__ import annotations

import os
from pathlib import Path


def runs_folder() -> Path:
    """Return the folder of saved runs: ``$QFID_DATA_DIR/runs``, else in the user's data folder."""
    chosen = os.environ.get("QFID_DATA_DIR")
    if chosen:
        return Path(chosen).expanduser().absolute() / "runs"
    import platformdirs

    return platformdirs.user_data_path("qfid") / "runs"


def cache_folder() -> Path:
    """Return the folder of cached files: ``$QFID_DATA_DIR/cache``, else the user's cache folder."""
    chosen = os.environ.get("QFID_DATA_DIR")
    if chosen:
        return Path(chosen).expanduser().absolute() / "cache"
    import platformdirs

    return platformdirs.user_cache_path("qfid")
