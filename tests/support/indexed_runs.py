"""Lists of saved runs with the index, and without it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scorer.common.folders import cache_folder
from scorer.runs import listing, run_index
from scorer.runs.run_info import RunInfo


def use_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few runs, and such as have just been saved, be indexed."""
    monkeypatch.setattr(run_index, "FEWEST_RUNS", 1)
    monkeypatch.setattr(run_index, "_YOUNG", 0)


def index_file() -> Path:
    """Where the index is."""
    return cache_folder() / "runs.json"


def index_lines() -> dict[str, Any]:
    """The lines of the index, by run."""
    lines: dict[str, Any] = json.loads(index_file().read_bytes().partition(b"\n")[2])
    return lines


def write_index(lines: dict[str, Any]) -> None:
    """Write an index of these lines, with its checksum."""
    text = json.dumps(lines)
    index_file().write_text(f"{json.dumps(run_index._head(text.encode()))}\n{text}")


def list_plainly() -> list[RunInfo]:
    """The list without an index."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_index, "FEWEST_RUNS", 1 << 30)
        return listing.list_runs()


def list_counted() -> tuple[list[RunInfo], list[str]]:
    """The list, and the ids of the runs whose files were read for it, sorted."""
    read: list[str] = []
    info = listing._info

    def counted(path: Path) -> Any:
        read.append(path.name)
        return info(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "_info", counted)
        return listing.list_runs(), sorted(read)
