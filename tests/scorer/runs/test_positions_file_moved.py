"""A positions file that is deleted, renamed or replaced while it is appended to."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from positions_files import BATCHES, FACTS, positions

from scorer.common.errors import QfidError
from scorer.runs.positions_file import PositionsWriter, read_positions


def append(writer: PositionsWriter, number: int) -> bool:
    key = BATCHES[number]
    return writer.append(key, positions(key.chunk), FACTS)


def folder_deleted(path: Path) -> None:
    shutil.rmtree(path.parent)


def folder_renamed(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


def folder_replaced(path: Path) -> None:
    folder_renamed(path)
    shutil.copytree(path.parent.with_name("moved"), path.parent)


def file_deleted(path: Path) -> None:
    path.unlink()


def file_replaced(path: Path) -> None:
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").rename(path)


def file_behind_a_link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


CHANGES = [
    *(folder_deleted, folder_renamed, folder_replaced),
    *(file_deleted, file_replaced, file_behind_a_link),
]


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_acknowledged_that_cannot_be_found_again(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = tmp_path / "run" / "positions.arrow"
    path.parent.mkdir()
    closed: list[bool] = []
    with PositionsWriter(path, on_close=lambda: closed.append(True)) as writer:
        assert append(writer, 0)
        change(path)
        with pytest.raises(QfidError, match="nothing more is saved of this run") as caught:
            append(writer, 1)
        assert caught.value.exit_code == 1
        assert BATCHES[1] not in writer.stored and closed == [True]
        with pytest.raises(ValueError, match="closed"):
            append(writer, 2)
    if path.exists() and not path.is_symlink():
        assert [chunk.key for chunk in read_positions(path)] == BATCHES[:1]


def test_a_folder_that_is_back_in_time_was_never_away(tmp_path: Path) -> None:
    path = tmp_path / "run" / "positions.arrow"
    path.parent.mkdir()
    with PositionsWriter(path) as writer:
        assert append(writer, 0)
        folder_renamed(path)
        path.parent.with_name("moved").rename(path.parent)
        assert append(writer, 1)
    assert [chunk.key for chunk in read_positions(path)] == BATCHES[:2]
