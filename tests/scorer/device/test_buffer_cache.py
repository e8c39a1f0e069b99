"""MLX's limit on freed buffers is raised for runs, and is the program's own again afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import mlx.core as mx
import pytest

from scorer.device.buffer_cache import keeping_buffers

OWN = 40 << 20


def limit() -> int:
    found = mx.set_cache_limit(OWN)
    mx.set_cache_limit(found)
    return found


@pytest.fixture(autouse=True)
def program() -> Iterator[None]:
    """A program with a limit of its own."""
    before = mx.set_cache_limit(OWN)
    yield
    mx.set_cache_limit(before)


def test_runs_add_up_and_give_back() -> None:
    first, second = keeping_buffers(100 << 20), keeping_buffers(60 << 20)
    with first:
        assert limit() == 100 << 20
        second.__enter__()
        assert limit() == 160 << 20
    # In any order.
    assert limit() == 60 << 20
    second.__exit__(None, None, None)
    assert limit() == OWN


def test_a_limit_is_never_lowered() -> None:
    with keeping_buffers(1 << 20):
        assert limit() == OWN
    with keeping_buffers(0):
        assert limit() == OWN


def test_a_limit_that_the_program_sets_meanwhile_stays() -> None:
    with keeping_buffers(100 << 20):
        mx.set_cache_limit(7 << 20)
    assert limit() == 7 << 20
