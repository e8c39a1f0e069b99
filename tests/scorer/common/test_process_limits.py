"""Threads, open files, a working directory, a home folder: what a system may not give."""

from __future__ import annotations

import errno
import os
import resource
import threading
from pathlib import Path

import pytest

from scorer.common import folders
from scorer.common import process_limits as limits
from scorer.common.errors import InputError, QfidError
from scorer.common.process_limits import (
    file_limit,
    leave_missing_folder,
    limit_reached,
    raise_file_limit,
    require_threads,
    require_weight_files,
    require_working_folder,
    startable_threads,
    working_folder_exists,
)


def allow_threads(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let so many more threads start, as a limit on processes does."""
    real, left = threading._start_new_thread, [count]  # type: ignore[attr-defined]

    def start(*arguments: object) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("can't start new thread")
        found: int = real(*arguments)
        return found

    monkeypatch.setattr(threading, "_start_new_thread", start)


def test_threads_are_counted_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.active_count()
    assert startable_threads(5) == 5 and threading.active_count() == before
    require_threads(5)
    allow_threads(monkeypatch, 3)
    assert startable_threads(5) == 3 and threading.active_count() == before


def test_too_few_threads_are_refused_with_both_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_threads(monkeypatch, 3)
    with pytest.raises(InputError, match=r"allows 3 more threads .* 5 are needed") as caught:
        require_threads(5)
    assert "ulimit -u" in caught.value.hint


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((256, 1024), (1024, 1024)),
        ((256, 4096), (2048, 4096)),
        ((3000, 4096), (3000, 4096)),
        ((256, resource.RLIM_INFINITY), (2048, resource.RLIM_INFINITY)),
        ((resource.RLIM_INFINITY,) * 2, (resource.RLIM_INFINITY,) * 2),
    ],
)
def test_the_soft_limit_on_open_files_is_raised_as_far_as_allowed(
    monkeypatch: pytest.MonkeyPatch, before: tuple[int, int], after: tuple[int, int]
) -> None:
    now = [before]
    monkeypatch.setattr(resource, "getrlimit", lambda kind: now[0])
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limit: now.append(limit))
    raise_file_limit()
    assert now[-1] == after
    assert file_limit() == (None if before[1] == resource.RLIM_INFINITY else before[1])


def test_weights_in_more_files_than_may_be_open_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (64, 64))
    for count in (0, 1, 40):
        require_weight_files(count)
    with pytest.raises(InputError, match="in 41 files, and this process may open only 64"):
        require_weight_files(41)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (64, resource.RLIM_INFINITY))
    require_weight_files(1000)


def test_a_deleted_working_directory_is_refused_or_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    require_working_folder()
    leave_missing_folder()
    assert Path.cwd() == gone
    gone.rmdir()
    assert not working_folder_exists()
    with pytest.raises(InputError, match="has been deleted"):
        require_working_folder()
    # A relative folder of runs must not become one from the root.
    monkeypatch.setenv("QFID_DATA_DIR", "data")
    leave_missing_folder()
    assert not working_folder_exists()
    with pytest.raises(InputError, match="has been deleted"):
        folders.runs_folder()
    monkeypatch.setenv("QFID_DATA_DIR", str(tmp_path))
    leave_missing_folder()
    assert Path.cwd() == Path("/")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("can't start new thread"), "no more threads"),
        (BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)), "no more threads"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "too many files are open"),
        (OSError(errno.ENFILE, os.strerror(errno.ENFILE)), "too many files are open"),
    ],
)
def test_a_limit_that_is_reached_is_said_with_a_remedy(error: BaseException, said: str) -> None:
    found = limit_reached(error)
    assert type(found) is QfidError and said in found.message and "ulimit" in found.hint
    assert "\n" not in found.message + found.hint


def test_other_errors_are_no_limits() -> None:
    for error in (RuntimeError("x"), OSError(errno.EIO, "x"), ValueError(limits.FILES_HINT)):
        assert limit_reached(error) is None


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user that the system does not know, as a container may run one."""
    import pwd

    def unknown(uid: int) -> object:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "QFID_DATA_DIR", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)


FOLDERS = (folders.runs_folder, folders.cache_folder, folders.choices_folder)


@pytest.mark.usefixtures("homeless")
def test_without_a_home_folder_the_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for find in FOLDERS:
        with pytest.raises(InputError, match="no home folder") as caught:
            find()
        assert "set QFID_DATA_DIR" in caught.value.hint
    monkeypatch.setenv("QFID_DATA_DIR", str(tmp_path))
    assert {find().parent for find in FOLDERS} == {tmp_path, tmp_path.parent}
    monkeypatch.setenv("QFID_DATA_DIR", "~/qfid")
    with pytest.raises(InputError, match="no home folder is known") as caught:
        folders.runs_folder()
    assert "full path" in caught.value.hint


@pytest.mark.usefixtures("homeless")
def test_without_a_home_folder_nothing_is_kept_and_the_demo_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from qfid_tui.state.choices import Choices
    from qfid_tui.state.kept_choices import kept_theme, load_choices, save_choices
    from scorer.models.hub_cache import hub_folder
    from scorer.models.resolve import resolve_model

    monkeypatch.delenv("HF_HOME", raising=False)
    assert kept_theme() is None and load_choices() == Choices()
    assert save_choices(Choices()) is False
    assert resolve_model("demo").geometry.layers
    with pytest.raises(InputError, match="no home folder") as caught:
        hub_folder()
    assert "set HF_HOME" in caught.value.hint
    monkeypatch.setenv("HF_HUB_CACHE", "/hub")
    assert hub_folder() == Path("/hub")


@pytest.mark.parametrize(
    ("held", "is_set"),
    [
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), True),
        ((1 << 50, resource.RLIM_INFINITY), True),
        ((1, resource.RLIM_INFINITY), False),
        ((resource.RLIM_INFINITY, 1), False),
    ],
)
def test_time_and_memory_are_limited_where_no_lower_limit_holds(
    monkeypatch: pytest.MonkeyPatch, held: tuple[int, int], is_set: bool
) -> None:
    found: dict[int, tuple[int, int]] = {}
    monkeypatch.setattr(resource, "getrlimit", lambda which: held)
    monkeypatch.setattr(resource, "setrlimit", found.__setitem__)
    limits.limit_processor_time(3600.0)
    assert (resource.RLIMIT_CPU in found) == is_set
    if is_set:
        soft, hard = found[resource.RLIMIT_CPU]
        assert 3600 <= soft < 1 << 40 and hard == held[1]
    limits.limit_memory(1 << 30)
    if Path("/proc/self/status").exists():
        assert (resource.RLIMIT_DATA in found) == is_set
