"""A copy of a model has modules of its own over the same arrays, and gives the same bits."""

from __future__ import annotations

import functools
import threading
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten
from numpy.typing import NDArray
from tiny_configs import tiny_config
from tiny_models import build_module

from scorer.device.streams import lent_cpu_stream
from scorer.lm.caches import fresh_caches
from scorer.lm.module_copies import copied_module
from scorer.lm.split_model import SplitModel

# A plain one, windows, a text model inside another, stacked experts, states beside keys and values.
ARCHITECTURES = ("llama", "gemma3_text", "gemma3", "deepseek_v2", "jamba")


def logits(split: SplitModel) -> NDArray[np.float32]:
    tokens = mx.array(np.arange(1, 13, dtype=np.int32)[None])
    hidden = split.hidden(tokens, fresh_caches(split.model))
    return np.array(split.logits(hidden, 0, 12).astype(mx.float32))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_copies_give_the_same_bits_in_threads_of_their_own(architecture: str) -> None:
    split = SplitModel(build_module(tiny_config(architecture)), "numpy")
    split.model.eval()
    copies = [split.copied() for _ in range(2)]
    found: dict[int, NDArray[np.float32]] = {}

    def work(number: int) -> None:
        with lent_cpu_stream():
            found[number] = logits([split, *copies][number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = logits(split)
    for number in range(3):
        np.testing.assert_array_equal(found[number], expected)
    modules = {id(module) for module in split.model.modules()}
    arrays = {name: id(array) for name, array in tree_flatten(split.model.parameters())}
    for copy in copies:
        assert not modules & {id(module) for module in copy.model.modules()}
        assert {n: id(a) for n, a in tree_flatten(copy.model.parameters())} == arrays


def test_a_copy_that_is_emptied_leaves_the_model_as_it_is() -> None:
    split = SplitModel(build_module(tiny_config("llama")), "numpy")
    expected = logits(split)
    for module in split.copied().model.modules():
        module.clear()
    np.testing.assert_array_equal(logits(split), expected)


class Odd(nn.Module):
    """Holds modules, and functions of itself, in every way there is."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(2, 2), (nn.Linear(2, 2),)]
        self.named = {"a": nn.Linear(2, 2)}
        self.again = self.named["a"]
        self._frequencies = mx.arange(4) * 2.0
        self.method: Any = self.twice
        self.partly: Any = functools.partial(self.twice, factor=3)
        self.kind = "odd"

    def twice(self, x: float, factor: float = 2) -> float:
        self.seen = x
        return factor * x


def test_whatever_holds_a_module_holds_its_copy() -> None:
    odd = Odd()
    copy: Any = copied_module(odd)
    assert type(copy) is Odd and copy.kind == "odd"
    assert copy.again is copy.named["a"] and copy.again is not odd.again
    assert copy.layers[1][0] is not odd.layers[1][0]  # type: ignore[index]
    assert copy.layers[1][0].weight is odd.layers[1][0].weight  # type: ignore[index]
    assert (copy.method(1), copy.partly(2)) == (2, 6)
    assert copy.seen == 2 and not hasattr(odd, "seen")


def test_lazy_arrays_are_evaluated_for_another_thread() -> None:
    copy: Any = copied_module(Odd())
    found: list[list[float]] = []

    def work() -> None:
        with lent_cpu_stream():
            found.append((copy._frequencies + 1).tolist())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [[1.0, 3.0, 5.0, 7.0]]
