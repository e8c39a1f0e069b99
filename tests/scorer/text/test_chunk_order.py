"""Which chunks are scored, in which order."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from itertools import islice
from typing import Any

import pytest

from scorer.text.chunk_order import random_order, select_chunks, spread_order


@pytest.mark.parametrize("choice", ["first", "spread", "random:1"])
def test_no_limit_takes_every_chunk(choice: Any) -> None:
    assert sorted(select_chunks(7, choice, None)) == list(range(7))
    assert select_chunks(7, choice, None) == select_chunks(7, choice, 9)
    assert select_chunks(1, choice, None) == (0,)


def test_the_first_chunks_stand_in_the_order_of_the_text() -> None:
    assert select_chunks(9, "first", 4) == (0, 1, 2, 3)


@pytest.mark.parametrize("total", [*range(1, 70), 595, 1023, 1024, 1025, 2393, 15_000])
def test_every_chunk_comes_once(total: int) -> None:
    assert sorted(spread_order(total)) == list(range(total))


def test_the_order_is_the_one_that_is_written_down() -> None:
    """⌊(r/2^K + 1/64)·N⌋ mod N with K = max(6, ⌈log₂ N⌉), in floating point."""
    for total in (3, 40, 64, 65, 595, 2393):
        bits = max(6, math.ceil(math.log2(total)))
        turned = (int(format(i, f"0{bits}b")[::-1], 2) for i in range(2**bits))
        chunks = [math.floor((r / 2**bits + 1 / 64) * total) % total for r in turned]
        assert list(spread_order(total)) == list(dict.fromkeys(chunks))


def test_a_random_order_is_a_permutation_that_its_seed_decides() -> None:
    for total in (1, 2, 7, 595):
        assert sorted(random_order(total, 3)) == list(range(total))
    # Fisher and Yates as it is in books, on a list.
    draw, chunks = random.Random(1), list(range(12))
    for i in range(12):
        j = i + int(draw.random() * (12 - i))
        chunks[i], chunks[j] = chunks[j], chunks[i]
    assert list(random_order(12, 1)) == chunks == [1, 10, 9, 5, 7, 8, 2, 0, 3, 6, 11, 4]
    assert select_chunks(595, "random:1", 4) != select_chunks(595, "random:2", 4)


def test_every_chunk_comes_first_as_often_in_a_random_order() -> None:
    firsts = Counter(next(random_order(5, seed)) for seed in range(2000))
    assert all(330 < firsts[chunk] < 470 for chunk in range(5))
    seconds = Counter(tuple(islice(random_order(3, seed), 2)) for seed in range(2000))
    assert len(seconds) == 6 and min(seconds.values()) > 270


@pytest.mark.parametrize("choice", ["spread", "random:5"])
@pytest.mark.parametrize("total", [10, 595, 2393])
def test_more_chunks_hold_the_fewer(total: int, choice: str) -> None:
    for fewer, more in itertools.pairwise((1, 2, 3, 8, 20, 32, 33, 500)):
        chosen = select_chunks(total, choice, more)
        assert chosen[: min(fewer, total)] == select_chunks(total, choice, fewer)


@pytest.mark.parametrize("n", [8, 16, 32, 64])
def test_gaps_are_those_of_an_even_grid(n: int) -> None:
    total = 595
    chosen = sorted(select_chunks(total, "spread", n))
    gaps = {b - a for a, b in itertools.pairwise([*chosen, chosen[0] + total])}
    assert gaps == {total // n, total // n + 1}


def test_a_few_chunks_of_many_are_chosen_without_making_the_whole_order() -> None:
    assert len(select_chunks(10**9, "spread", 3)) == 3
    assert len(select_chunks(10**9, "random:1", 3)) == 3
