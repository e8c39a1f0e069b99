"""How many chunks a ``positions.arrow`` holds, by the headers of its messages alone.

Pure standard library: the list of runs is shown before pyarrow is imported.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from scorer.common.regular_files import open_regular
from scorer.runs import arrow_messages


@dataclass(frozen=True, slots=True)
class StoredCounts:
    """What a positions file was found to hold.

    Attributes:
        size: Its bytes then; -1 where it was not looked at.
        chunks: Setting in notation to the number of its chunks.
    """

    size: int = -1
    chunks: dict[str, int] = field(default_factory=dict)


def count_chunks(path: Path, known: StoredCounts) -> StoredCounts:
    """Count the chunks that a file holds.

    Args:
        path: The file; one that is missing or cannot be read holds nothing.
        known: An earlier count; it holds as long as the file has not grown.
    """
    stored: dict[str, set[bytes]] = {}
    size = 0
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if known.size == size:
                return known
            for frame in arrow_messages.frames(file, size):
                if frame.metadata.keys() >= {"setting", "chunk"}:
                    setting = frame.metadata["setting"][1].decode("utf-8", "replace")
                    stored.setdefault(setting, set()).add(frame.metadata["chunk"][1])
    except OSError:
        pass
    return StoredCounts(size, {setting: len(seen) for setting, seen in stored.items()})
