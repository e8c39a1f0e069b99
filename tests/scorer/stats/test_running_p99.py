"""The running 99th percentile is the report's, after every chunk."""

from __future__ import annotations

import numpy as np
import pytest

from scorer.stats.quantiles import quantile
from scorer.stats.running_p99 import RunningP99


@pytest.mark.parametrize(("size", "chunks"), [(511, 12), (1, 300), (99, 3), (101, 1)])
@pytest.mark.parametrize("endless", [False, True])
def test_it_equals_the_exact_quantile_bit_for_bit(size: int, chunks: int, endless: bool) -> None:
    random = np.random.RandomState(size)
    made = RunningP99(size * chunks)
    assert made.value is None
    seen = np.zeros(0)
    for _ in range(chunks):
        kl = np.exp(3 * random.normal(size=size))
        if endless and random.rand() < 0.3:
            kl[random.randint(size)] = np.inf
        made.add(kl)
        seen = np.concatenate([seen, kl])
        assert made.value == quantile(seen, 0.99)
        assert made.positions == len(seen)


def test_it_keeps_no_more_than_twice_a_hundredth() -> None:
    made = RunningP99(511 * 600)
    for _ in range(60):
        made.add(np.arange(511.0))
        assert sum(map(len, made._waiting)) <= 2 * (0.01 * 511 * 600 + 2)
    assert made.value == quantile(np.tile(np.arange(511.0), 60), 0.99)
