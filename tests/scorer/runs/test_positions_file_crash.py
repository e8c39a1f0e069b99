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
from project import ROOT
from test_positions_file import positions

from scorer.common import atomic_files as atomic
from scorer.common.errors import QfidError
from scorer.runs import positions_file as arrow_stream
from scorer.runs.positions_file import PositionsWriter, read_positions

# Kills itself inside the n-th write of the fourth append, after some of its bytes.
DIES = """
import os, signal, sys
sys.path[:0] = sys.argv[3:]
from scorer.runs import positions_file as arrow_stream
from test_positions_file import positions
path, share = sys.argv[1], float(sys.argv[2])
writer = arrow_stream.PositionsWriter(path)
for chunk in range(3):
    writer.append("8", positions(chunk), {})
write = os.write
def dies(descriptor, data):
    write(descriptor, bytes(data)[: int(share * len(data))])
    os.kill(os.getpid(), signal.SIGKILL)
os.write = dies
writer.append("8", positions(3), {})
"""


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999, 1.0])
def test_kill_in_mid_append_loses_at_most_that_batch(tmp_path: Path, share: float) -> None:
    path = tmp_path / "positions.arrow"
    child = subprocess.run(
        [sys.executable, "-c", DIES, str(path), str(share), str(ROOT), str(Path(__file__).parent)],
        check=False,
    )
    assert child.returncode == -signal.SIGKILL
    with PositionsWriter(path) as writer:
        assert writer.scored == {"8": {0, 1, 2, 3} if share == 1 else {0, 1, 2}}
        writer.append("8", positions(3), {})
    assert [batch[1] for batch in read_positions(path)] == [0, 1, 2, 3]


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
        writer.append("8", positions(0), {})
        writer.append("4", positions(0), {})
        size = path.stat().st_size
        with monkeypatch.context() as patch, pytest.raises(QfidError) as caught:
            patch.setattr(atomic.os, "write", failing(code, share))
            writer.append("4", positions(1), {})
        assert caught.value.exit_code == 1
        assert "chunk 1 of setting `4`" in caught.value.message
        assert "the 2 chunks" in caught.value.hint
        assert path.stat().st_size == size
        assert writer.append("4", positions(1), {})
    assert [batch[:2] for batch in read_positions(path)] == [("8", 0), ("4", 0), ("4", 1)]


def test_a_batch_that_may_not_have_reached_the_disk_is_not_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "positions.arrow"

    def fails(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with PositionsWriter(path) as writer:
        with monkeypatch.context() as patch, pytest.raises(QfidError):
            patch.setattr(arrow_stream, "_sync", fails)
            writer.append("8", positions(0), {})
        assert writer.scored == {}
    assert list(read_positions(path)) == []


def test_chunks_stored_together_wait_for_the_disk_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "positions.arrow"
    with PositionsWriter(path) as writer:
        waits: list[int] = []
        real = arrow_stream._sync
        monkeypatch.setattr(arrow_stream, "_sync", lambda fd: waits.append(fd) or real(fd))
        given = [("8", positions(0), {"a": 1}), ("4", positions(0), {}), ("8", positions(0), {})]
        assert writer.append_all(given) == [True, True, False]
        assert writer.append_all(given[:1]) == [False] and writer.append_all([]) == []
        assert len(waits) == 1 and writer.scored == {"8": {0}, "4": {0}}
    assert [(*batch[:2], batch[3]) for batch in read_positions(path)] == [
        ("8", 0, {"a": 1}),
        ("4", 0, {}),
    ]


def test_of_chunks_stored_together_a_full_disk_takes_what_it_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "positions.arrow"
    with PositionsWriter(path) as writer:
        writer.append("8", positions(0), {})
        room = int(2.5 * path.stat().st_size)
        real = os.write

        def write(descriptor: int, data: bytes) -> int:
            fits = room - path.stat().st_size
            if fits <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(descriptor, bytes(data)[:fits])

        with monkeypatch.context() as patch, pytest.raises(QfidError) as caught:
            patch.setattr(atomic.os, "write", write)
            writer.append_all([("8", positions(chunk), {}) for chunk in (1, 2, 3)])
        stored = sorted(writer.scored["8"])
        assert stored[0] == 0 and 1 in stored and 3 not in stored
        assert f"chunk {stored[-1] + 1} of setting `8`" in caught.value.message
        assert f"the {len(stored)} chunks" in caught.value.hint
    assert [batch[1] for batch in read_positions(path)] == stored


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
            writer.append("8", positions(0), {})
        writer.append("8", positions(1), {})
    reader = read_positions(path)
    assert [batch[1] for batch in reader] == [1]
    assert reader.ignored_bytes == 0


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(atomic.os, "write", lambda fd, data: real(fd, bytes(data)[:7]))
    with PositionsWriter(tmp_path / "p") as writer:
        writer.append("8", positions(0), {})
    monkeypatch.undo()
    assert [batch[1] for batch in read_positions(tmp_path / "p")] == [0]


def test_a_writer_that_cannot_undo_closes_and_the_next_one_repairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "positions.arrow"
    told: list[str] = []
    writer = PositionsWriter(path, on_close=lambda: told.append("closed"))
    writer.append("8", positions(0), {})

    def fails(descriptor: int, length: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch, pytest.raises(QfidError):
        patch.setattr(atomic.os, "write", failing(errno.ENOSPC, 0.5))
        patch.setattr(arrow_stream.os, "ftruncate", fails)
        writer.append("8", positions(1), {})
    assert told == ["closed"]
    with PositionsWriter(path) as again:
        assert again.scored == {"8": {0}} and again.dropped_bytes > 0


# A limit of the kernel's own on the size of a file, standing in for a full disk.
FULL = """
import resource, signal, sys
sys.path[:0] = sys.argv[2:]
from scorer.runs.positions_file import PositionsWriter
from scorer.common.errors import QfidError
from test_positions_file import positions
with PositionsWriter(sys.argv[1]) as writer:
    writer.append("8", positions(0), {})
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (writer._end + 500, most))
    try:
        writer.append("8", positions(1), {})
    except QfidError as error:
        print(error)
"""


def test_a_limit_of_the_kernel_is_met_in_order(tmp_path: Path) -> None:
    assert resource.RLIMIT_FSIZE is not None
    path = tmp_path / "positions.arrow"
    child = subprocess.run(
        [sys.executable, "-c", FULL, str(path), str(ROOT), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "no space left" in child.stdout and "the 1 chunks" in child.stdout
    reader = read_positions(path)
    assert [batch[1] for batch in reader] == [0] and reader.ignored_bytes == 0
