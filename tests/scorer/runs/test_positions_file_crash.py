"""Crashes and full disks in the middle of an append."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from positions_files import FACTS, keys, positions
from project import ROOT, SUPPORT

from scorer.common import atomic_files as atomic
from scorer.common.errors import QfidError
from scorer.runs import positions_file as arrow_stream
from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.grid import CellKey
from scorer.runs.positions_file import PositionsWriter, read_positions
from scorer.runs.positions_format import StoredChunk

# Kills itself inside the n-th write of the fourth append, after some of its bytes.
DIES = """
import os, signal, sys
sys.path[:0] = sys.argv[3:]
from scorer.runs import positions_file as arrow_stream
from scorer.runs.grid import CellKey
from positions_files import FACTS, positions
path, share = sys.argv[1], float(sys.argv[2])
writer = arrow_stream.PositionsWriter(path)
for chunk in range(3):
    writer.append(CellKey("8", chunk), positions(chunk), FACTS)
write = os.write
def dies(descriptor, data):
    write(descriptor, bytes(data)[: int(share * len(data))])
    os.kill(os.getpid(), signal.SIGKILL)
os.write = dies
writer.append(CellKey("8", 3), positions(3), FACTS)
"""


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999, 1.0])
def test_kill_in_mid_append_loses_at_most_that_batch(tmp_path: Path, share: float) -> None:
    path = tmp_path / "positions.arrow"
    child = subprocess.run(
        [
            sys.executable,
            "-c",
            DIES,
            str(path),
            str(share),
            str(ROOT),
            str(SUPPORT),
        ],
        check=False,
    )
    assert child.returncode == -signal.SIGKILL
    with PositionsWriter(path) as writer:
        assert {key.chunk for key in writer.stored} == set(range(4 if share == 1 else 3))
        writer.append(CellKey("8", 3), positions(3), FACTS)
    assert [key.chunk for key in keys(path)] == [0, 1, 2, 3]


def failing(code: int, share: float):  # type: ignore[no-untyped-def]
    """A write that stores a share of its bytes, then fails."""
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        real(descriptor, bytes(data)[: int(share * len(data))])
        raise OSError(code, os.strerror(code))

    return write


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_failed_write_is_undone_and_says_what_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, share: float
) -> None:
    path = tmp_path / "positions.arrow"
    with PositionsWriter(path) as writer:
        writer.append(CellKey("8", 0), positions(0), FACTS)
        writer.append(CellKey("4", 0), positions(0), FACTS)
        size = path.stat().st_size
        with monkeypatch.context() as patch, pytest.raises(QfidError) as caught:
            patch.setattr(atomic.os, "write", failing(code, share))
            writer.append(CellKey("4", 1), positions(1), FACTS)
        assert caught.value.exit_code == 1
        assert "chunk 1 of setting `4`" in caught.value.message
        assert "the 2 chunks" in caught.value.hint
        assert path.stat().st_size == size
        assert writer.append(CellKey("4", 1), positions(1), FACTS)
    assert keys(path) == [CellKey("8", 0), CellKey("4", 0), CellKey("4", 1)]


def test_a_batch_that_may_not_have_reached_the_disk_is_not_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "positions.arrow"

    def fails(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with PositionsWriter(path) as writer:
        with monkeypatch.context() as patch, pytest.raises(QfidError):
            patch.setattr(arrow_stream, "_sync", fails)
            writer.append(CellKey("8", 0), positions(0), FACTS)
        assert writer.stored == set()
    assert list(read_positions(path)) == []


def test_chunks_stored_together_wait_for_the_disk_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "positions.arrow"
    with PositionsWriter(path) as writer:
        waits: list[int] = []
        real = arrow_stream._sync
        monkeypatch.setattr(arrow_stream, "_sync", lambda fd: waits.append(fd) or real(fd))
        eight, four = CellKey("8", 0), CellKey("4", 0)
        given = [
            StoredChunk(eight, positions(0), FACTS),
            StoredChunk(four, positions(0), ChunkFacts()),
            StoredChunk(eight, positions(0), ChunkFacts()),
        ]
        assert writer.append_all(given) == [True, True, False]
        assert writer.append_all(given[:1]) == [False] and writer.append_all([]) == []
        assert len(waits) == 1 and writer.stored == {eight, four}
    found = [(chunk.key, chunk.facts) for chunk in read_positions(path)]
    assert found == [(eight, FACTS), (four, ChunkFacts())]


def test_of_chunks_stored_together_a_full_disk_takes_what_it_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "positions.arrow"
    with PositionsWriter(path) as writer:
        writer.append(CellKey("8", 0), positions(0), FACTS)
        room = int(2.5 * path.stat().st_size)
        real = os.write

        def write(descriptor: int, data: bytes) -> int:
            fits = room - path.stat().st_size
            if fits <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(descriptor, bytes(data)[:fits])

        with monkeypatch.context() as patch, pytest.raises(QfidError) as caught:
            patch.setattr(atomic.os, "write", write)
            writer.append_all(
                [StoredChunk(CellKey("8", chunk), positions(chunk), FACTS) for chunk in (1, 2, 3)]
            )
        stored = sorted(key.chunk for key in writer.stored)
        assert stored[0] == 0 and 1 in stored and 3 not in stored
        assert f"chunk {stored[-1] + 1} of setting `8`" in caught.value.message
        assert f"the {len(stored)} chunks" in caught.value.hint
    assert [key.chunk for key in keys(path)] == stored


def test_ctrl_c_in_mid_write_leaves_no_half_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "positions.arrow"
    real = os.write

    def interrupted(descriptor: int, data: bytes) -> int:
        real(descriptor, bytes(data)[:100])
        raise KeyboardInterrupt

    with PositionsWriter(path) as writer:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(atomic.os, "write", interrupted)
            writer.append(CellKey("8", 0), positions(0), FACTS)
        writer.append(CellKey("8", 1), positions(1), FACTS)
    reader = read_positions(path)
    assert [chunk.key.chunk for chunk in reader] == [1]
    assert reader.ignored_bytes == 0


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(atomic.os, "write", lambda fd, data: real(fd, bytes(data)[:7]))
    with PositionsWriter(tmp_path / "p") as writer:
        writer.append(CellKey("8", 0), positions(0), FACTS)
    monkeypatch.undo()
    assert [key.chunk for key in keys(tmp_path / "p")] == [0]


def test_a_writer_that_cannot_undo_closes_and_the_next_one_repairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "positions.arrow"
    told: list[str] = []
    writer = PositionsWriter(path, on_close=lambda: told.append("closed"))
    writer.append(CellKey("8", 0), positions(0), FACTS)

    def fails(descriptor: int, length: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch, pytest.raises(QfidError):
        patch.setattr(atomic.os, "write", failing(errno.ENOSPC, 0.5))
        patch.setattr(arrow_stream.os, "ftruncate", fails)
        writer.append(CellKey("8", 1), positions(1), FACTS)
    assert told == ["closed"]
    with PositionsWriter(path) as again:
        assert again.stored == {CellKey("8", 0)} and again.dropped_bytes > 0


# A limit of the kernel's own on the size of a file, standing in for a full disk.
FULL = """
import resource, signal, sys
sys.path[:0] = sys.argv[2:]
from scorer.runs.positions_file import PositionsWriter
from scorer.common.errors import QfidError
from scorer.runs.grid import CellKey
from positions_files import FACTS, positions
with PositionsWriter(sys.argv[1]) as writer:
    writer.append(CellKey("8", 0), positions(0), FACTS)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (writer._end + 500, most))
    try:
        writer.append(CellKey("8", 1), positions(1), FACTS)
    except QfidError as error:
        print(error)
"""


def test_a_limit_of_the_kernel_is_met_in_order(tmp_path: Path) -> None:
    assert resource.RLIMIT_FSIZE is not None
    path = tmp_path / "positions.arrow"
    child = subprocess.run(
        [
            sys.executable,
            "-c",
            FULL,
            str(path),
            str(ROOT),
            str(SUPPORT),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "larger than a file may be" in child.stdout and "the 1 chunks" in child.stdout
    assert "`ulimit -f`" in child.stdout
    reader = read_positions(path)
    assert [chunk.key.chunk for chunk in reader] == [0] and reader.ignored_bytes == 0
