"""Requests, their batches, and strings as tokens of a model."""

from __future__ import annotations

import random

import numpy as np
import pytest

from scorer.common.errors import InputError
from scorer.demo import demo_model_path
from scorer.lm.tokenizer import load_tokenizer
from scorer.tasks.harness import TaskModel
from scorer.tasks.requests import Batches, Request


def test_the_end_of_a_sequence_is_scored() -> None:
    request = Request.of([5, 6, 7], [8, 9], 100)
    assert (request.length, request.first, request.ids) == (5, 2, (5, 6, 7, 8, 9))


def test_of_too_long_a_sequence_the_end_goes_through_the_model() -> None:
    request = Request.of(range(10), [10, 11], 4)
    assert request.ids == (7, 8, 9, 10, 11) and request.first == 2
    everything = Request.of([0], range(1, 10), 4)
    assert everything.ids == (5, 6, 7, 8, 9) and everything.first == 0


@pytest.mark.parametrize("size", [1, 3, 64])
def test_a_batch_holds_requests_of_one_shape(size: int) -> None:
    choose = random.Random(1)
    asked = [
        Request.of(
            [choose.randrange(50) for _ in range(choose.randrange(1, 6))],
            [choose.randrange(50) for _ in range(choose.randrange(1, 4))],
            100,
        )
        for _ in range(200)
    ]
    batches = Batches.of([*asked, *asked[:50]], size)
    assert set(batches.requests) == set(asked) and len(batches.requests) == len(set(asked))
    numbers = [number for batch in batches for number in batch]
    assert numbers == list(range(len(batches.requests)))
    for part in batches:
        made = batches.batch(part)
        own = batches.requests[part.start : part.stop]
        assert 1 <= len(part) <= size and made.chunks == tuple(part)
        assert {(each.length, each.first) for each in own} == {(made.ids.shape[1], made.first)}
        assert np.array_equal(made.ids, [each.ids for each in own])
    assert batches.sha256 == Batches.of(asked[::-1], 7).sha256


@pytest.fixture(scope="module")
def model() -> TaskModel:
    return TaskModel(load_tokenizer(demo_model_path()), 0, 2048)


@pytest.mark.parametrize(
    ("context", "continuation"),
    [("Return the", " name"), ("Return the ", "name"), ("A\nB:\n", " x y"), ("Return", "ed")],
)
def test_strings_are_split_as_the_harness_splits_them(
    model: TaskModel, context: str, continuation: str
) -> None:
    """As ``TemplateLM._encode_pair``: the whole text is encoded, then cut."""
    encode = model.tokenizer.encode
    whole = encode(context + continuation, special_tokens=False).tolist()
    before = encode(context.rstrip(), special_tokens=False).tolist()
    (request,) = model.requests((context, continuation))
    assert list(request.ids) == whole and request.first == len(before) - 1


def test_a_text_without_a_context_follows_the_first_token(model: TaskModel) -> None:
    (request,) = model.requests(("", "name"))
    own = model.tokenizer.encode("name", special_tokens=False).tolist()
    assert list(request.ids) == [model.prefix, *own] and request.first == 0


def test_an_answer_without_text_is_refused(model: TaskModel) -> None:
    with pytest.raises(InputError, match="an answer without any text"):
        model.requests(("Return", ""))


def test_long_requests_are_counted() -> None:
    model = TaskModel(load_tokenizer(demo_model_path()), 0, 6)
    (request,) = model.requests(("one two three four five six", " seven"))
    assert model.cut == 1 and len(request.ids) == 7
