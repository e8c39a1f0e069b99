"""The reference's states on disk: stored at once, or behind the next pass."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import mlx.core as mx
import pytest

from scorer.common.errors import QfidError
from scorer.lanes.base import PendingPass, ReferenceLane
from scorer.lanes.kept_reference import KeptReference
from scorer.lanes.states import FileStates, HostStates, MemoryStates, StatesBytes


class Counting:
    """A reference whose states are its tokens, and that counts its passes."""

    key, model = "reference", SimpleNamespace()

    def __init__(self) -> None:
        self.passes = 0

    def begin(self, tokens: mx.array) -> PendingPass:
        self.passes += 1
        return PendingPass(MemoryStates(tokens[:, :, None].astype(mx.float32)))


def kept(folder: Path, *, behind: bool) -> tuple[KeptReference, Counting]:
    reference = Counting()
    return KeptReference(cast(ReferenceLane, reference), folder / "s", behind=behind), reference


def tokens_of(*rows: int) -> mx.array:
    return mx.array([[row, row + 1, row + 2] for row in rows], dtype=mx.int32)


def files(folder: Path) -> int:
    return len([*(folder / "s").glob("*")])


def test_states_are_stored_behind_the_next_pass(tmp_path: Path) -> None:
    reference, _ = kept(tmp_path, behind=True)
    reference.begin(tokens_of(1, 2))
    assert files(tmp_path) == 0
    reference.begin(tokens_of(3))
    assert files(tmp_path) == 2
    assert reference.holds(tokens_of(3, 1)) and files(tmp_path) == 3


@pytest.mark.parametrize("behind", [False, True])
def test_every_chunk_runs_once_and_is_read_after_that(tmp_path: Path, behind: bool) -> None:
    reference, inner = kept(tmp_path, behind=behind)
    reference.begin(tokens_of(1, 2))
    # The chunks of what is not stored yet, in other batches.
    for rows in ((2,), (2, 1), (1,)):
        states = reference.begin(tokens_of(*rows)).states.load()
        assert mx.array_equal(states[:, :, 0], tokens_of(*rows)).item()
    assert inner.passes == 1
    reference.remove()
    assert not (tmp_path / "s").exists() and not reference.holds(tokens_of(1))


def test_what_is_removed_is_not_stored_later(tmp_path: Path) -> None:
    reference, inner = kept(tmp_path, behind=True)
    reference.begin(tokens_of(1))
    reference.remove()
    assert not reference.holds(tokens_of(1)) and not (tmp_path / "s").exists()
    assert inner.passes == 1


def test_states_are_not_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def synced(_: Any) -> None:
        raise AssertionError("synced")

    monkeypatch.setattr("os.fsync", synced)
    path = tmp_path / "a"
    StatesBytes.of(mx.ones((1, 2, 3)), path).store()
    assert mx.array_equal(FileStates(path).read().array(), mx.ones((1, 2, 3))).item()


def names_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads that read states from now on, a name for each file."""
    real, names = FileStates.read, list[str]()

    def read(self: FileStates) -> HostStates:
        names.append(threading.current_thread().name)
        return real(self)

    monkeypatch.setattr(FileStates, "read", read)
    return names


@pytest.mark.parametrize("behind", [False, True])
def test_later_turns_read_the_batch_that_follows_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behind: bool
) -> None:
    reference, inner = kept(tmp_path, behind=behind)
    batches = [tokens_of(1, 2), tokens_of(3, 4), tokens_of(5)]
    for tokens in batches:
        reference.begin(tokens)
    assert reference.holds(batches[-1])
    names = names_read(monkeypatch)
    for turn in range(2):
        for tokens in batches:
            states = reference.begin(tokens).states.load()
            assert mx.array_equal(states[:, :, 0], tokens).item(), turn
    assert inner.passes == 1 * len(batches)
    here = threading.current_thread().name
    # The first batch of the first of these turns comes where nothing is known to follow.
    assert names.count(here) == (2 if behind else 10)
    # One that does not follow is read when it is asked for.
    states = reference.begin(batches[2]).states.load()
    assert mx.array_equal(states[:, :, 0], batches[2]).item()


def test_what_is_found_wrong_ahead_is_said_when_it_is_asked_for(tmp_path: Path) -> None:
    reference, _ = kept(tmp_path, behind=True)
    batches = [tokens_of(1), tokens_of(2)]
    for tokens in batches:
        reference.begin(tokens)
    assert reference.holds(batches[1])
    second = max((tmp_path / "s").glob("*"), key=lambda path: path.stat().st_mtime_ns)
    second.write_bytes(second.read_bytes()[:-1])
    reference.begin(batches[0])
    with pytest.raises(QfidError, match="damaged"):
        reference.begin(batches[1])
