"""Whether runs can be saved is known before a model is loaded, and asking leaves nothing behind."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from saved_runs import FACTS, job
from tiny_runs import Small, failed

from scorer.common.errors import InputError, QfidError
from scorer.runs import run_lock
from scorer.runs.listing import check_place, list_runs, new_run
from scorer.runs.run_lock import RunLock
from scorer.score import score
from scorer.spec.events import Loading


def fails_with(code: int) -> Callable[..., Any]:
    def fails(*arguments: Any, **options: Any) -> Any:
        raise OSError(code, os.strerror(code))

    return fails


def put_data_dir(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("QFID_DATA_DIR", str(folder))


def test_a_usable_place_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put_data_dir(monkeypatch, tmp_path / "a" / "b")
    check_place()
    assert list(tmp_path.iterdir()) == []
    run = new_run(job(), FACTS)
    check_place()
    assert list(run.path.parent.iterdir()) == [run.path]


def test_a_place_that_takes_folders_and_no_files_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put_data_dir(monkeypatch, tmp_path / "data")
    real = os.open

    def refuses(path: Any, flags: int, *more: Any, **options: Any) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, flags, *more, **options)

    with monkeypatch.context() as patch, pytest.raises(InputError, match="cannot be used"):
        patch.setattr(os, "open", refuses)
        check_place()
    assert list(tmp_path.iterdir()) == []


LOCKS = [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS]


@pytest.mark.parametrize("code", LOCKS)
def test_a_place_without_file_locks_is_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int
) -> None:
    put_data_dir(monkeypatch, tmp_path / "data")
    monkeypatch.setattr(run_lock.fcntl, "flock", fails_with(code))
    with pytest.raises(InputError, match="no file locks") as caught:
        check_place()
    assert str(tmp_path / "data" / "runs") in caught.value.message
    assert ".new-" not in caught.value.message
    assert "QFID_DATA_DIR" in caught.value.hint and "-o flock" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "code", "kind", "hint"),
    [
        ("mkdir", errno.EACCES, InputError, "you may write to"),
        ("mkdir", errno.EROFS, InputError, "you may write to"),
        ("mkdir", errno.ENOSPC, QfidError, "free some space"),
        ("write", errno.ENOSPC, QfidError, "free some space"),
        ("write", errno.EDQUOT, QfidError, "free some space"),
    ],
)
def test_a_place_that_cannot_be_written_is_named_and_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    call: str,
    code: int,
    kind: type[QfidError],
    hint: str,
) -> None:
    put_data_dir(monkeypatch, tmp_path / "data")
    with monkeypatch.context() as patch, pytest.raises(QfidError) as caught:
        patch.setattr(os, call, fails_with(code))
        check_place()
    assert type(caught.value) is kind
    assert str(tmp_path / "data" / "runs") in caught.value.message
    assert os.strerror(code) in caught.value.message
    assert hint in caught.value.hint and "QFID_DATA_DIR" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_refused_before_its_model_is_loaded(
    small: Small, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    put_data_dir(monkeypatch, tmp_path / "file")
    events = small.score("8")
    assert "cannot be used" in failed(events).message and failed(events).exit_code == 2
    assert not any(isinstance(event, Loading) for event in events)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_run_that_cannot_be_written_is_not_gone_on_with(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.score("8", max_chunks=1)
    (info,) = list_runs()
    before = {path.name: path.read_bytes() for path in info.path.iterdir()}
    real = os.open

    def read_only(path: Any, flags: int, *more: Any, **options: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR) and Path(path).parent == info.path:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(path, flags, *more, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", read_only)
        with pytest.raises(InputError, match="permission denied or read-only") as caught:
            RunLock(info.path).acquire()
        assert f"`qfid report {info.id}`" in caught.value.hint
        events = list(score(small.job("8,4", max_chunks=1), run=info.id))
        # What it holds can still be listed, read and reported.
        assert list_runs() == [info]
    assert "cannot be written" in failed(events).message
    assert not any(isinstance(event, Loading) for event in events)
    assert {path.name: path.read_bytes() for path in info.path.iterdir()} == before
