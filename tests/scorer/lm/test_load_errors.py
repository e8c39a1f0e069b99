"""A model that does not load: the message names a tensor and ends with it."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest

from scorer.lm.load_errors import load_failure


def failure(weights: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(ValueError) as caught:
        nn.Linear(2, 3).load_weights(list(weights.items()))
    return load_failure(caught.value)


WHOLE = {"weight": mx.zeros((3, 2)), "bias": mx.zeros((3,))}


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (WHOLE | {"vision.a": mx.zeros(1)}, "its weights hold `vision.a` that"),
        (WHOLE | {f"vision.{x}": mx.zeros(1) for x in "abc"}, "`vision.a` and 2 more tensors that"),
        ({"weight": WHOLE["weight"]}, "its weights lack `bias` of"),
        ({}, "and 1 more tensors of"),
        (WHOLE | {"bias": mx.zeros((4,))}, "Expected shape (3,) but received shape (4,)"),
    ],
)
def test_of_weights_that_do_not_fit(weights: dict[str, Any], said: str) -> None:
    message, hint = failure(weights)
    assert said in message and "\n" not in message and not message.endswith(":")
    assert hint


def test_of_anything_else() -> None:
    message, hint = load_failure(KeyError("x"))
    assert message == "KeyError: 'x'" and "config.json" in hint
