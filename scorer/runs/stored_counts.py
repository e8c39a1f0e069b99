"""How many chunks a ``positions.arrow`` holds, by the headers of its messages alone.

Pure standard library: the list of runs is shown before pyarrow is imported.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from scorer.common.json_values import OMITTED
from scorer.common.regular_files import open_regular
from scorer.runs import arrow_messages
from scorer.runs.positions_schema import (
    NOT_POSITIONS,
    UnknownContent,
    difference_of,
    refusal,
    unknown_keys,
)


@dataclass(frozen=True, slots=True)
class StoredCounts:
    """What the headers of a positions file say.

    Attributes:
        size: Bytes of the file; -1 where it was not looked at, or could not be opened.
        chunks: Setting to its stored chunks, damaged ones not yet told apart.
        read_only: Why this version may not append to the file, in words that follow its name and
            a colon; "" where it may.
    """

    size: int = -1
    chunks: dict[str, int] = field(default_factory=dict)
    read_only: str = field(default="", metadata=OMITTED)


NOT_COUNTED = StoredCounts()


def count_chunks(path: Path, known: StoredCounts = NOT_COUNTED) -> StoredCounts:
    """Count the stored chunks of a run.

    Args:
        path: The file; one that is missing or cannot be opened holds nothing.
        known: An earlier count; it holds as long as the file has the same size.

    Raises:
        InputError: The file holds something that this version cannot read.
    """
    try:
        with open_regular(path) as file:
            return _counts(file, os.fstat(file.fileno()).st_size, known)
    except UnknownContent as error:
        raise refusal(path, error, "cannot read it") from error
    except FileNotFoundError:
        return StoredCounts(0)
    except OSError:
        return StoredCounts()


def _counts(file: BinaryIO, size: int, known: StoredCounts) -> StoredCounts:
    """The counts of an open file.

    Raises:
        UnknownContent: This version cannot read it.
    """
    first = arrow_messages.frame_at(file, 0, size)
    if first is None:
        file.seek(0)
        if not arrow_messages.CONTINUATION.startswith(file.read(4).rstrip(b"\0")):
            raise UnknownContent(NOT_POSITIONS)
        return StoredCounts(size)
    read_only = difference_of(first)
    if known.size == size:
        return StoredCounts(size, known.chunks, read_only)
    stored: dict[str, set[bytes]] = {}
    for frame in arrow_messages.frames(file, size, first.end):
        if frame.metadata.keys() >= {"setting", "chunk"}:
            if "crc32" in frame.metadata and (what := unknown_keys(set(frame.metadata))):
                raise UnknownContent(what)
            setting = frame.metadata["setting"][1].decode("utf-8", "replace")
            stored.setdefault(setting, set()).add(frame.metadata["chunk"][1])
    return StoredCounts(size, {setting: len(seen) for setting, seen in stored.items()}, read_only)
