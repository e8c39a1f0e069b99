"""Runs whose positions another version wrote: listed, read where they can be, never changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_saved_runs import save_run
from later_positions import rewrite

from scorer.common.errors import InputError
from scorer.runs.listing import Run, list_runs, newest_unfinished, unfinished_twin
from scorer.runs.stored_counts import StoredCounts

UNREADABLE = [({"version": "2"}, "version `2`"), ({"passage": "chat"}, "metadata, `passage`")]


def files(run: Run) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.path.iterdir() if path.name != "lock"}


@pytest.mark.parametrize("finished", [True, False])
def test_a_column_more_is_read_and_not_written_to(finished: bool) -> None:
    run = save_run(chunks=4 if finished else 3, finished=finished)
    before = {name: list(chunks) for name, chunks in run.read().items()}
    rewrite(run.positions_path, column="entropy")
    kept = files(run)
    run = Run(run.path)
    [info] = list_runs()
    assert info.state == ("finished" if finished else "unfinished") and info.reason == ""
    assert info.read_only == "it has a column more, `entropy`"
    assert info.chunks_done == (8 if finished else 6)
    assert newest_unfinished() is None and unfinished_twin(run.facts.identity) is None
    after = run.read()
    assert after.keys() == before.keys() and run.whole is finished
    for name, chunks in after.items():
        for (one, facts), (other, others) in zip(chunks, before[name], strict=True):
            assert one.kl.tobytes() == other.kl.tobytes() and facts == others
    for act in (run.open_writer, run.check_appendable):
        with pytest.raises(InputError, match="column more, `entropy`; this version does not write"):
            act()
    assert files(run) == kept


@pytest.mark.parametrize(("changes", "text"), UNREADABLE)
@pytest.mark.parametrize("finished", [True, False])
def test_what_is_not_understood_is_one_line(
    changes: dict[str, str], text: str, finished: bool
) -> None:
    run = save_run(chunks=4 if finished else 3, finished=finished)
    # As where the file was written by the version that knows it.
    run._counted = StoredCounts()
    rewrite(run.positions_path, **changes)
    kept = files(run)
    run = Run(run.path)
    [info] = list_runs()
    assert info.state == "broken" and text in info.reason and "\n" not in info.reason
    assert newest_unfinished() is None
    acts = (run.open_writer, run.check_appendable, run.read, run.scored, lambda: run.whole)
    for act in acts:
        with pytest.raises(InputError) as caught:
            act()
        assert text in caught.value.message and "\n" not in caught.value.message
        assert "newer qfid" in caught.value.hint
    assert files(run) == kept


def test_a_file_of_something_else_is_one_line() -> None:
    run = save_run(finished=False, chunks=1)
    run.positions_path.write_bytes(b"%PDF-1.7 and so on")
    [info] = list_runs()
    assert info.state == "broken" and "not a positions file" in info.reason
    with pytest.raises(InputError, match="not a positions file"):
        run.open_writer()
    assert run.positions_path.read_bytes() == b"%PDF-1.7 and so on"


@pytest.mark.parametrize("data", [b"", b"\xff\xff\xff\xff\x10", bytes(100)])
def test_what_a_crash_left_at_creation_is_an_empty_run(data: bytes) -> None:
    run = save_run(finished=False, chunks=1)
    run.positions_path.write_bytes(data)
    [info] = list_runs()
    assert (info.state, info.chunks_done, info.read_only) == ("unfinished", 0, "")


def test_a_refused_run_gives_its_lock_back(tmp_path: Path) -> None:
    run = save_run(finished=False, chunks=1)
    good = run.positions_path.read_bytes()
    rewrite(run.positions_path, version="2")
    with pytest.raises(InputError):
        run.open_writer()
    run.positions_path.write_bytes(good)
    run.open_writer().close()
