"""One writer per run, and files that are never half written."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT

from scorer.common import atomic_files as atomic
from scorer.common.atomic_files import write_atomic
from scorer.common.errors import InputError, QfidError
from scorer.runs import run_lock as lock
from scorer.runs.run_lock import RunLock, holder

HOLDS = """
import sys
from scorer.runs.run_lock import RunLock
with RunLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def held_by_another(folder: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    return child


def test_a_second_process_is_refused_with_the_first_ones_id_and_time(tmp_path: Path) -> None:
    with held_by_another(tmp_path) as child:
        named = holder(tmp_path)
        assert named is not None and named.pid == child.pid
        with pytest.raises(InputError) as caught:
            RunLock(tmp_path).acquire()
        assert f"process {child.pid} since 20" in caught.value.message
        assert tmp_path.name in caught.value.message
        child.communicate("")
    assert child.returncode == 0 and holder(tmp_path) is None
    with RunLock(tmp_path):
        pass


def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    with held_by_another(tmp_path) as child:
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        # Dead, though its parent has not asked yet; what it wrote into the file is still there.
        assert json.loads((tmp_path / "lock").read_text())["pid"] == child.pid
        assert holder(tmp_path) is None
        with RunLock(tmp_path):
            named = holder(tmp_path)
            assert named is not None and named.pid == os.getpid()
    assert holder(tmp_path) is None


def test_one_process_cannot_lock_twice(tmp_path: Path) -> None:
    with RunLock(tmp_path), pytest.raises(InputError, match=str(os.getpid())):
        RunLock(tmp_path).acquire()
    first = RunLock(tmp_path)
    first.acquire()
    first.release()
    first.release()
    with RunLock(tmp_path):
        pass


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_fails_leaves_no_lock_that_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fails(*arguments: object) -> int:
        raise OSError(code, os.strerror(code))

    held = RunLock(tmp_path)
    held.acquire()
    with monkeypatch.context() as patch:
        patch.setattr(lock.os, "ftruncate", fails)
        held.release()
    # The file still names this process, which lives and holds nothing.
    assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
    assert holder(tmp_path) is None
    real = os.write

    def stored(descriptor: int, data: bytes) -> int:
        real(descriptor, data)
        return fails()

    with monkeypatch.context() as patch, pytest.raises(QfidError):
        patch.setattr(lock.os, "write", stored)
        held.acquire()
    assert holder(tmp_path) is None
    with held:
        named = holder(tmp_path)
        assert named is not None and named.pid == os.getpid()


def test_a_later_process_of_the_same_id_is_not_the_holder(tmp_path: Path) -> None:
    data = {"pid": os.getpid(), "started": "long ago", "since": "2026-11-24T02:05:01+00:00"}
    (tmp_path / "lock").write_text(json.dumps(data))
    assert holder(tmp_path) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "null",
        '{"pid": 1}',
        '{"pid": "1", "started": "", "since": ""}',
        '{"pid": -1, "started": "1", "since": "2026-11-24"}',
        '{"pid": 99999999999999999999, "started": "1", "since": "2026-11-24"}',
        '{"pid": 1, "started": "1", "since": 5}',
        "[" * 4096,
    ],
)
def test_nothing_in_a_lock_file_can_raise_or_keep_a_run_locked(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock").write_text(text)
    assert holder(tmp_path) is None
    with RunLock(tmp_path):
        (tmp_path / "lock").write_text(text)
        with pytest.raises(InputError, match="written by"):
            RunLock(tmp_path).acquire()


def test_a_lock_is_not_taken_through_a_link_or_in_no_folder(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "lock").symlink_to(victim)
    with pytest.raises(InputError, match="symbolic link"):
        RunLock(tmp_path).acquire()
    assert victim.read_text() == "mine"
    with pytest.raises(InputError, match="no folder"):
        RunLock(tmp_path / "none").acquire()


def test_a_folder_deleted_meanwhile_is_not_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    real = lock.fcntl.flock

    def late(descriptor: int, how: int) -> None:
        (folder / "lock").unlink()
        folder.rmdir()
        real(descriptor, how)

    monkeypatch.setattr(lock.fcntl, "flock", late)
    with pytest.raises(InputError, match="no folder"):
        RunLock(folder).acquire()


def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock.fcntl, "flock", refuses)
    with pytest.raises(InputError, match="no file locks") as caught:
        RunLock(tmp_path).acquire()
    assert "QFID_DATA_DIR" in caught.value.hint


def test_ps_answers_where_there_is_no_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/bin/ps").exists():
        pytest.skip("this system has no /bin/ps")
    monkeypatch.setattr(lock.sys, "platform", "darwin")
    with RunLock(tmp_path):
        named = holder(tmp_path)
        assert named is not None and named.pid == os.getpid() and named.started
    assert lock._process_started(2**22 + 1) == ""


def test_atomic_files_hold_what_was_written_and_leave_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    write_atomic(path, "ü")
    assert path.read_bytes() == "ü".encode()
    write_atomic(str(path), b"\0\xff")
    assert path.read_bytes() == b"\0\xff"
    assert list(tmp_path.iterdir()) == [path]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "report.md"
    victim.write_text("mine")
    path.symlink_to(victim)
    write_atomic(path, "new")
    assert victim.read_text() == "mine" and path.read_text() == "new" and not path.is_symlink()


def test_a_long_name_leaves_room_for_the_name_aside(tmp_path: Path) -> None:
    write_atomic(tmp_path / ("x" * 255), "")
    assert [len(path.name) for path in tmp_path.iterdir()] == [255]


@pytest.mark.parametrize("place", ["none/x", "file/x", "folder", "..", "nul\0", "n" * 300])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError) as caught:
        write_atomic(tmp_path / place, "x")
    assert str(tmp_path) in caught.value.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_read_only_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*args: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(atomic.os, "open", refuses)
    with pytest.raises(InputError, match="read-only"):
        write_atomic(tmp_path / "x", "")


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_the_old_file_stays_where_the_new_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    path = tmp_path / "job.json"
    write_atomic(path, "old")

    def fails(*args: object, **more: object) -> None:
        raise error

    expected = QfidError if isinstance(error, OSError) else KeyboardInterrupt
    with monkeypatch.context() as patch, pytest.raises(expected):
        patch.setattr(Path if step == "replace" else atomic.os, step, fails)
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
