"""The index of saved runs: nothing is read twice, and every change of a run is seen."""

from __future__ import annotations

import dataclasses
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from indexed_runs import index_file, index_lines, list_counted, list_plainly, use_index
from positions_files import positions
from running_runs import held
from saved_runs import FACTS, folder_of_runs, job

from scorer.common.errors import InputError
from scorer.models.file_stamp import FileStamp, digest_of
from scorer.runs import run_index, run_state, stored_counts
from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.grid import CellKey
from scorer.runs.listing import Run, list_runs, new_run, newest_unfinished
from scorer.runs.run_lock import RunLock


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_index(monkeypatch)
    return folder_of_runs(tmp_path, monkeypatch)


def saved(text: str = "8,4", *, finished: bool = True) -> Run:
    run = new_run(job(text), FACTS)
    with run.open_writer() as writer:
        writer.append(CellKey("8", 0), positions(0), ChunkFacts())
    if finished:
        run.save_report({"schema": 1}, "# report\n")
    return run


def test_a_run_that_has_not_changed_is_not_read_again() -> None:
    runs = [saved(), saved(finished=False), saved("8")]
    ids = sorted(run.id for run in runs)
    first, read = list_counted()
    assert read == ids and first == list_plainly()
    again, read = list_counted()
    assert read == [] and again == first
    assert [info.state for info in again] == ["finished", "unfinished", "finished"]
    added = saved("6")
    third, read = list_counted()
    assert read == [added.id] and third == list_plainly()


def rewritten(name: str, change: Callable[[bytes], bytes]) -> Callable[[Run], None]:
    """A change of a file in its place, as some editors make it; its times are set back."""

    def edit(run: Run) -> None:
        path = run.path / name
        before = path.stat()
        path.write_bytes(change(path.read_bytes()))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return edit


def swap(run: Run) -> None:
    (other,) = [path for path in run.path.parent.iterdir() if path != run.path]
    aside = other.with_name("aside")
    other.rename(aside)
    run.path.rename(other)
    aside.rename(run.path)


def link(run: Run) -> None:
    elsewhere = run.path.parent.with_name("elsewhere")
    run.path.rename(elsewhere)
    run.path.symlink_to(elsewhere)


def append(run: Run) -> None:
    with run.open_writer() as writer:
        writer.append(CellKey("8", 1), positions(1), ChunkFacts())


CHANGES: dict[str, Callable[[Run], Any]] = {
    "deleted": Run.delete,
    "moved away and linked": link,
    "named like another": swap,
    "date edited": rewritten("job.json", lambda text: text.replace(b"2026-11", b"2026-10")),
    "model edited": rewritten("job.json", lambda text: text.replace(b"4bit", b"5bit")),
    "job emptied": rewritten("job.json", lambda text: b""),
    "job removed": lambda run: (run.path / "job.json").unlink(),
    "state damaged": rewritten("state.json", lambda text: text.replace(b"{", b"(", 1)),
    "state removed": lambda run: (run.path / "state.json").unlink(),
    "report removed": lambda run: (run.path / "report.json").unlink(),
    "positions cut": rewritten("positions.arrow", lambda data: data[:-40]),
    "positions of another kind": rewritten("positions.arrow", lambda data: b"x" * len(data)),
    "positions removed": lambda run: run.positions_path.unlink(),
    "another chunk": append,
    "more settings": lambda run: run.grow(job("6")),
    "a setting failed": lambda run: run.mark_failed("4", "SettingFailed", "not finite"),
    "reported": lambda run: run.save_report({"schema": 1}, "", complete=False),
}


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_a_run_is_seen(change: str, finished: bool) -> None:
    run, _ = saved(), saved("8")
    if not finished:
        run.save_report({"schema": 1}, "# report\n", complete=False)
    list_runs()
    assert list_counted()[1] == [], "the change below is not seen by chance"
    CHANGES[change](run)
    assert list_runs() == list_plainly()
    assert list_runs() == list_plainly(), "as kept the second time"


def test_a_file_that_appears_in_a_run_is_seen() -> None:
    run = new_run(job("8"), FACTS)
    list_runs()
    append(run)
    run.save_report({"schema": 1}, "")
    assert list_runs() == list_plainly() and list_runs()[0].state == "finished"


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_that_another_process_goes_on_with_is_running(finished: bool) -> None:
    run = saved(finished=finished)
    list_runs()
    with held(run.path):
        if finished:
            path = run.path / "job.json"
            path.with_name("new").write_bytes(path.read_bytes())
            path.with_name("new").rename(path)
        assert [info.state for info in list_runs()] == ["running"]
        assert newest_unfinished() is None
    state = "finished" if finished else "unfinished"
    assert [info.state for info in list_runs()] == [state] == [i.state for i in list_plainly()]


def test_what_is_running_is_not_kept() -> None:
    run = saved(finished=False)
    with RunLock(run.path):
        list_runs()
    assert list_counted()[1] == [run.id]
    assert list_counted()[1] == []


def test_what_has_just_changed_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_index, "_YOUNG", 3600 * 10**9)
    run = saved()
    list_runs()
    assert list_counted()[1] == [run.id] and not index_file().exists()


@pytest.mark.parametrize("file", ["state.json", "positions.arrow"])
def test_a_file_that_cannot_be_opened_now_is_read_again(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = saved()

    error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def no_state(path: Path) -> Any:
        raise InputError("cannot be read") from error

    def no_positions(path: Path) -> Any:
        raise error

    with monkeypatch.context() as patch:
        if file == "state.json":
            patch.setattr(run_state, "json_object", no_state)
        else:
            patch.setattr(stored_counts, "open_regular", no_positions)
        (info,) = list_runs()
        assert (info.state, info.is_whole) != ("finished", True)
    assert list_counted()[1] == [run.id] and list_runs() == list_plainly()


def test_broken_runs_are_read_again(folder: Path) -> None:
    (folder / "20200101-000000-x-0000").mkdir(parents=True)
    saved()
    list_runs()
    assert list_counted()[1] == ["20200101-000000-x-0000"]


def test_few_runs_have_no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_index, "FEWEST_RUNS", 3)
    saved(), saved()
    list_runs()
    assert not index_file().exists()
    saved()
    list_runs()
    assert index_file().exists()


def test_a_few_new_runs_among_many_do_not_write_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_index, "_SHARE_READ", 0.5)
    for _ in range(4):
        saved()
    list_runs()
    before = index_file().stat().st_mtime_ns
    added = saved()
    assert list_counted()[1] == list_counted()[1] == [added.id]
    assert index_file().stat().st_mtime_ns == before


def test_runs_that_are_gone_leave_it() -> None:
    runs = [saved() for _ in range(3)]
    list_runs()
    runs[0].delete()
    saved()
    list_runs()
    kept = index_lines()
    assert runs[0].id not in kept and len(kept) == 3


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


BAD: dict[str, bytes | Callable[[Path], None]] = {
    "empty": b"",
    "cut": b'{"schema":[1',
    "no text": b"\xff\xfe\x00",
    "a list": b"[]",
    "deep": b"[" * 100_000,
    "a long number": b'{"schema": ' + b"9" * 10_000 + b"}",
    "another schema": b'[0, "0", 1]\n{}',
    "no schema": b"{}",
    "a fifo": os.mkfifo,
    "a folder": Path.mkdir,
    "a link to itself": lambda path: path.symlink_to(path),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "huge": sparse,
}


@pytest.mark.parametrize("what", BAD)
def test_an_index_that_cannot_be_used_is_replaced_or_left(what: str) -> None:
    saved(), saved(finished=False)
    bad, path = BAD[what], index_file()
    path.parent.mkdir(parents=True)
    if isinstance(bad, bytes):
        path.write_bytes(bad)
    else:
        bad(path)
    assert list_runs() == list_plainly()
    assert (list_counted()[1] == []) is (what != "a folder")


def test_lines_that_are_not_those_that_were_written_are_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = saved()
    run.mark_failed("4", "SettingFailed", "not finite")
    whole = list_plainly()
    list_runs()
    good = index_file().read_bytes()
    assert list_counted()[1] == []
    monkeypatch.setattr(run_index, "_SHARE_READ", 1 << 30)
    for place in range(len(good)):
        index_file().write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        assert list_counted() == (whole, [run.id]), place
    for end in range(0, len(good), 7):
        index_file().write_bytes(good[:end])
        assert list_counted() == (whole, [run.id]), end


def test_an_index_of_other_values_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    run = saved()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_index, "_KEPT", run_index._KEPT[:-1])
        list_runs()
    assert list_counted() == (list_plainly(), [run.id])


def test_without_a_place_for_it_everything_is_read() -> None:
    run = saved()
    index_file().parent.write_text("in the way")
    assert list_runs() == list_plainly() and list_counted()[1] == [run.id]


def test_processes_that_write_it_at_once_leave_a_whole_one() -> None:
    for _ in range(12):
        saved()
    whole, faults = list_plainly(), list[Any]()

    def work() -> None:
        for _ in range(5):
            index_file().unlink(missing_ok=True)
            if list_runs() != whole:
                faults.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    list_runs()
    assert not faults and list_counted()[1] == []
    assert [path.name for path in index_file().parent.iterdir()] == ["runs.json"]


def test_what_killed_processes_left_beside_it_is_removed() -> None:
    saved()
    index_file().parent.mkdir(parents=True)
    old, young = (index_file().with_name(f".runs.json.{c * 12}") for c in "ab")
    old.touch(), young.touch()
    os.utime(old, (0, 0))
    list_runs()
    assert young.exists() and not old.exists()


def test_a_line_says_what_another_run_must_share_to_go_on_with_it() -> None:
    files = {"config.json": FileStamp(7, 100, 5), "a.safetensors": FileStamp(8, 200, 6)}
    facts = dataclasses.replace(FACTS, files=files, identity={"model revision": "abc", "x": 1})
    new_run(job("8"), facts), new_run(job("4"), FACTS)
    for _ in range(2):
        other, info = list_runs()
        assert info.conditions == job("3").conditions == other.conditions
        assert (info.revision, other.revision) == ("abc", None)
        assert info.files == digest_of(dict(reversed(files.items()))) != other.files
        changed = {**files, "config.json": FileStamp(7, 100, 6)}
        assert info.files != digest_of(changed)
