"""Body and tail run apart give the model's own logits, or the model is used whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_configs import tiny_config
from tiny_models import build_module

from scorer.lm.caches import fresh_caches
from scorer.lm.split_model import SplitModel

LENGTH = 11

# What stands behind the body of each.
SPLIT: list[tuple[str, dict[str, Any]]] = [
    ("llama", {"tie_word_embeddings": False}),
    ("llama", {"tie_word_embeddings": True}),
    ("gemma2", {}),  # soft-cap
    ("nanochat", {}),  # soft-cap, body by another name
    ("cohere", {}),  # logit scale
    ("granite", {}),  # logits divided
    ("minicpm", {}),  # scaled before the head
    ("mamba2", {}),  # backbone
    ("mistral3", {}),  # language_model
    ("gemma3", {}),
    ("gpt_neox", {}),  # the head inside the body: its states are logits already
    ("gemma3n", {}),  # the same
    ("phi3small", {}),  # tokens ruled out with −inf
]


@pytest.fixture(autouse=True)
def _on_the_cpu_device() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


def ids(batch: int = 2) -> mx.array:
    return mx.array(np.random.default_rng(0).integers(0, 256, (batch, LENGTH)))


def whole(model: Any, tokens: mx.array) -> NDArray[np.float32]:
    return np.array(model(tokens, cache=fresh_caches(model)))


def tiled(split: SplitModel, tokens: mx.array, step: int) -> NDArray[np.float32]:
    hidden = split.hidden(tokens, fresh_caches(split.model))
    parts = [split.logits(hidden, a, min(a + step, LENGTH)) for a in range(0, LENGTH, step)]
    return np.array(mx.concatenate(parts, axis=1))


def checked(model: nn.Module) -> SplitModel:
    split = SplitModel(model)
    assert split.check(lambda: fresh_caches(model), ids(1)) is split.split
    return split


@pytest.mark.parametrize(("name", "changes"), SPLIT)
def test_a_split_model_is_the_model(name: str, changes: dict[str, Any]) -> None:
    model = build_module(tiny_config(name, **changes))
    split = checked(model)
    assert split.split
    tokens = ids()
    expected = whole(model, tokens)
    assert split.hidden(tokens, fresh_caches(model)).shape[:2] == (2, LENGTH)
    for step in (1, 4, LENGTH):
        np.testing.assert_allclose(tiled(split, tokens, step), expected, rtol=1e-5, atol=1e-5)


def test_logits_come_from_the_hidden_states_that_are_given() -> None:
    model = build_module(tiny_config("llama"))
    split = checked(model)
    hidden = split.hidden(ids(), fresh_caches(model))
    forward, backward = split.logits(hidden, 0, 2), split.logits(hidden[:, ::-1], 0, 2)
    assert not np.allclose(np.array(forward), np.array(backward))


class _Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(32, 8)
        self.layers = [nn.Linear(8, 8)]

    def __call__(self, tokens: mx.array, cache: Any = None) -> Any:
        return self.layers[0](self.table(tokens))


class _Model(nn.Module):
    """A body and a plain head; subclasses break what splitting takes for granted."""

    def __init__(self) -> None:
        super().__init__()
        self.model = _Body()
        self.head = nn.Linear(8, 32)

    @property
    def layers(self) -> list[nn.Module]:
        found: list[nn.Module] = self.model.layers
        return found

    def __call__(self, tokens: mx.array, cache: Any = None) -> Any:
        return self.head(self.model(tokens, cache))


class _TailLooksAtPlaces(_Model):
    def __call__(self, tokens: mx.array, cache: Any = None) -> Any:
        places = mx.arange(tokens.shape[1])[None, :, None]
        return self.head(self.model(tokens, cache)) + 0.01 * places


class _TailLooksAtTokens(_Model):
    def __call__(self, tokens: mx.array, cache: Any = None) -> Any:
        return self.head(self.model(tokens, cache)) * (1 + tokens[..., None])


class _TailMixesPositions(_Model):
    def __call__(self, tokens: mx.array, cache: Any = None) -> Any:
        return self.head(mx.cumsum(self.model(tokens, cache), axis=1))


class _BodyTwice(_Model):
    def __call__(self, tokens: mx.array, cache: Any = None) -> Any:
        first = self.model(tokens, cache)
        return self.head(first + self.model(tokens[:, ::-1], cache))


class _BodyGivesAPair(_Model):
    def __init__(self) -> None:
        super().__init__()
        self.model = _PairBody()

    def __call__(self, tokens: mx.array, cache: Any = None) -> Any:
        return self.head(self.model(tokens, cache)[0])


class _PairBody(_Body):
    def __call__(self, tokens: mx.array, cache: Any = None) -> Any:
        return super().__call__(tokens, cache), None


class _NoBody(_Model):
    def __init__(self) -> None:
        super().__init__()
        self.decoder = self.pop("model")

    @property
    def layers(self) -> list[nn.Module]:
        found: list[nn.Module] = self.decoder.layers
        return found

    def __call__(self, tokens: mx.array, cache: Any = None) -> Any:
        return self.head(self.decoder(tokens, cache))


class _HeadFallsOver(_Model):
    def __call__(self, tokens: mx.array, cache: Any = None) -> Any:
        states = self.model(tokens, cache)
        if states.shape[1] != LENGTH:
            raise ValueError("only whole chunks")
        return self.head(states)


@pytest.mark.parametrize(
    "kind",
    [
        _TailLooksAtPlaces,
        _TailLooksAtTokens,
        _TailMixesPositions,
        _BodyTwice,
        _BodyGivesAPair,
        _NoBody,
        _HeadFallsOver,
    ],
)
def test_a_split_that_cannot_be_proven_is_not_made(kind: type[_Model]) -> None:
    mx.random.seed(0)
    model = kind()
    body = None if kind is _NoBody else model.model
    tokens = ids(1) % 32
    expected = np.array(model(tokens))
    split = SplitModel(model)
    assert not split.check(lambda: fresh_caches(model), tokens)
    hidden = split.hidden(tokens, fresh_caches(model))
    np.testing.assert_array_equal(np.array(split.logits(hidden, 0, LENGTH)), expected)
    assert body is None or model.model is body


def test_the_plain_model_of_these_is_split() -> None:
    mx.random.seed(0)
    model = _Model()
    split = SplitModel(model)
    assert split.check(lambda: fresh_caches(model), ids(1) % 32)


def test_the_body_is_put_back_when_a_pass_fails() -> None:
    model = build_module(tiny_config("llama"))
    body: Any = model["model"]
    split = checked(model)
    names = set(dict(model.parameters()))
    with pytest.raises(ValueError):
        split.hidden(mx.zeros((1, 2, 3, 4), mx.int32), fresh_caches(model))
    with pytest.raises(ValueError):
        split.logits(mx.zeros((1, 4, 7)), 0, 4)
    assert model["model"] is body
    assert set(dict(model.parameters())) == names
