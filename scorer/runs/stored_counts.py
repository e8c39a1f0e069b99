"""How many chunks a ``positions.arrow`` holds, by the headers of its messages alone.

Pure standard library: the list of runs is shown before pyarrow is imported.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from scorer.common.regular_files import open_regular
from scorer.runs import arrow_messages


def count_chunks(path: Path, known: dict[str, Any]) -> dict[str, Any]:
    """Bytes of the file (``size``) and, per setting, its stored chunks (``chunks``).

    Args:
        path: The file; one that is missing or cannot be read holds nothing.
        known: What this function said before; it holds as long as the file has not grown.
    """
    stored: dict[str, set[bytes]] = {}
    size = 0
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            chunks = known.get("chunks")
            if known.get("size") == size and isinstance(chunks, dict):
                if all(type(count) is int for count in chunks.values()):
                    return known
            for frame in arrow_messages.frames(file, size):
                if frame.metadata.keys() >= {"setting", "chunk"}:
                    setting = frame.metadata["setting"][1].decode("utf-8", "replace")
                    stored.setdefault(setting, set()).add(frame.metadata["chunk"][1])
    except OSError:
        pass
    return {"size": size, "chunks": {setting: len(seen) for setting, seen in stored.items()}}
