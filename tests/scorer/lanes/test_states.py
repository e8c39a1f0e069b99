"""Hidden states kept in a file come back in every bit, or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from scorer.common.errors import InputError, QfidError
from scorer.lanes.states import FileStates, MemoryStates, StatesBytes


@pytest.fixture(autouse=True)
def _on_the_cpu_device() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


def states(dtype: mx.Dtype, *shape: int) -> mx.array:
    rng = np.random.default_rng(3)
    x = rng.standard_normal(shape or (2, 5, 7)).astype(np.float32)
    if x.size > 4:
        x.reshape(-1)[:4] = np.nan, np.inf, -0.0, 1e-40
    return mx.array(x).astype(dtype)


def bits(x: mx.array) -> bytes:
    return np.array(x.reshape(-1).view(mx.uint8)).tobytes()


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
@pytest.mark.parametrize("shape", [(2, 5, 7), (1, 1, 1), (1, 0, 7)])
def test_a_file_gives_back_every_bit(
    tmp_path: Path, dtype: mx.Dtype, shape: tuple[int, ...]
) -> None:
    stored = states(dtype, *shape)
    handle = StatesBytes.of(stored, tmp_path / "states").store()
    for _ in range(2):
        loaded = handle.read().array()
        assert (loaded.dtype, loaded.shape) == (dtype, shape)
        assert bits(loaded) == bits(stored)
    assert FileStates(tmp_path / "states").read().array().shape == shape


def test_a_view_is_stored_in_its_own_order(tmp_path: Path) -> None:
    x = states(mx.bfloat16, 3, 8, 6)
    view = x[1:, ::2].swapaxes(1, 2)
    loaded = StatesBytes.of(view, tmp_path / "states").store().read().array()
    assert loaded.shape == (2, 6, 4) and bits(loaded) == bits(mx.contiguous(view))


def test_states_in_memory_are_the_array() -> None:
    x = states(mx.float32)
    assert MemoryStates(x).load() is x


@pytest.mark.parametrize("place", [1, 40, -1])
def test_one_changed_bit_is_noticed(tmp_path: Path, place: int) -> None:
    path = tmp_path / "states"
    handle = StatesBytes.of(states(mx.float16), path).store()
    content = bytearray(path.read_bytes())
    content[place if place < 0 else content.index(b"\n") + place] ^= 1
    path.write_bytes(content)
    with pytest.raises(QfidError, match="is damaged: its bytes are not those that were stored"):
        handle.read().array()


@pytest.mark.parametrize(
    "change", ["short", "long", "shape", "order", "dtype", "crc32", "json", "binary"]
)
def test_a_file_that_was_cut_or_written_over_is_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "states"
    handle = StatesBytes.of(states(mx.bfloat16), path).store()
    line, _, data = path.read_bytes().partition(b"\n")
    header = json.loads(line)
    if change in ("shape", "order", "dtype", "crc32"):
        other = {"shape": [2, 5, 6], "order": [5, 2, 7], "dtype": "float8", "crc32": None}
        header["shape" if change == "order" else change] = other[change]
        line = json.dumps(header).encode()
    elif change in ("short", "long"):
        data = data[:-2] if change == "short" else data + b"\0\0"
    else:
        line = b"{" if change == "json" else b"\xff\xfe" * 900
    path.write_bytes(line + b"\n" + data)
    with pytest.raises(QfidError, match=f"`{path}` is damaged") as caught:
        handle.read().array()
    assert "score again" in caught.value.hint


def test_a_file_that_cannot_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        FileStates(tmp_path / "none").read().array()
    with pytest.raises(InputError, match="no folder"):
        StatesBytes.of(states(mx.float32), tmp_path / "none" / "states").store()
    with pytest.raises(QfidError, match="int32 cannot be stored"):
        StatesBytes.of(mx.array([1]), tmp_path / "states").store()
    assert not list(tmp_path.iterdir())


def test_a_removed_file_is_gone(tmp_path: Path) -> None:
    handle = StatesBytes.of(states(mx.float32), tmp_path / "states").store()
    assert [path.name for path in tmp_path.iterdir()] == ["states"]
    handle.remove()
    handle.remove()
    assert not list(tmp_path.iterdir())
