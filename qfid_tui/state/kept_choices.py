"""Where choices are kept, and the one of them that the first frame needs.

Imports next to nothing: the first frame waits for it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_THEME = re.compile(r'"theme": "([a-z-]{1,40})"')
_MOST = 1 << 16


def choices_file() -> Path:
    """Where choices are kept: ``$QFID_DATA_DIR/app.json``, else the user's configuration folder."""
    chosen = os.environ.get("QFID_DATA_DIR")
    if chosen:
        return Path(chosen).expanduser().absolute() / "app.json"
    import platformdirs

    return platformdirs.user_config_path("qfid") / "app.json"


def kept_theme() -> str | None:
    """Name of the theme of the last session, read without a JSON parser; None for none."""
    try:
        with choices_file().open(encoding="utf-8", errors="replace") as file:
            found = _THEME.search(file.read(_MOST))
    except (OSError, RuntimeError):
        return None
    return None if found is None else found[1]
