"""Weights quantized in memory, alone and with a quantized cache, against a Llama in NumPy float64.

Without a quantized cache nothing is rounded on the way that the last bit of a sum could turn over:
every position is held to a narrow tolerance. With one, a code at an edge can fall to either side,
and the mean is held.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import mlx.core as mx
import numpy as np
import pytest
from numpy.typing import NDArray
from oracle_llama import Cached, Llama, log_softmax
from project import ROOT
from tokenizers import Tokenizer

from scorer.device.backend import Backend, start_backend
from scorer.engine.loop import Loop
from scorer.engine.outcomes import Scored, ScoreTask
from scorer.engine.tiles import Batch
from scorer.lanes.base import ReferenceLane
from scorer.lanes.kv.lane import DEQUANTIZED, KVLane
from scorer.lanes.weights.lane import WeightsLane
from scorer.lm.load import load
from scorer.lm.made_weights import load_made
from scorer.lm.model_handle import ModelHandle
from scorer.lm.split_model import SplitModel
from scorer.metrics.reduce import Metrics
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.weights import MadeWeights

MODEL = ROOT / "scorer" / "demo" / "model"
CHUNKS, LENGTH = 2, 128
WIDTHS = (8, 4, 2)
CACHE = KVSetting(8, 4)


@pytest.fixture(autouse=True, scope="module")
def _on_the_cpu_device() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


@pytest.fixture(scope="module")
def tokens() -> NDArray[np.int32]:
    text = (ROOT / "LICENSE").read_text("utf-8")
    ids = Tokenizer.from_file(str(MODEL / "tokenizer.json")).encode(text).ids
    return np.array(ids[: CHUNKS * LENGTH], np.int32).reshape(CHUNKS, LENGTH)


@pytest.fixture(scope="module")
def cpu() -> Backend:
    return dataclasses.replace(start_backend(), kind="cpu")


@pytest.fixture(scope="module")
def engine(tokens: NDArray[np.int32], cpu: Backend) -> dict[str, Scored]:
    """One pass of the loop: every width alone and with the cache, against one reference."""
    reference = ReferenceLane(ModelHandle(SplitModel(load(MODEL, cpu).module)))
    lanes: list[WeightsLane | KVLane] = []
    for bits in WIDTHS:
        handle = ModelHandle(SplitModel(load_made(MODEL, MadeWeights(bits, 64), cpu).module))
        lanes.append(WeightsLane(handle, f"w{bits}"))
        lanes.append(KVLane(handle, CACHE, DEQUANTIZED, key=f"w{bits}+{CACHE.key}"))
    vocab = reference.split.model.args.vocab_size
    loop = Loop(reference, Metrics("numpy"), vocab, lambda: False)
    batch = Batch(tuple(range(CHUNKS)), tokens, 0)
    outcomes = list(loop.score([ScoreTask(batch, lanes)]))
    return {o.lane.key: o for o in outcomes if isinstance(o, Scored)}


def oracle_kl(tokens: NDArray[np.int32], bits: int, cached: Cached) -> NDArray[np.float64]:
    """KL of every position (C, L − 1), nats."""
    reference, candidate = Llama(MODEL, np.float64), Llama(MODEL, np.float64, bits)
    found = []
    for chunk in tokens:
        log_p = log_softmax(reference.logits(reference.embed(chunk[:-1])))
        log_q = log_softmax(candidate.logits(candidate.embed(chunk[:-1]), cached))
        found.append((np.exp(log_p) * (log_p - log_q)).sum(axis=-1))
    return np.stack(found)


@pytest.mark.parametrize("bits", WIDTHS)
def test_weights_alone_at_every_position(
    bits: int, engine: dict[str, Scored], tokens: NDArray[np.int32]
) -> None:
    expected = oracle_kl(tokens, bits, Cached())
    got = np.stack([positions.kl for positions in engine[f"w{bits}"].chunks])
    assert expected.mean() > 1e-4, "no drift proves nothing"
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=2e-6)


@pytest.mark.parametrize("bits", WIDTHS)
def test_weights_with_a_quantized_cache(
    bits: int, engine: dict[str, Scored], tokens: NDArray[np.int32]
) -> None:
    expected = oracle_kl(tokens, bits, Cached(CACHE.k_bits, CACHE.v_bits, CACHE.group_size))
    got = np.stack([positions.kl for positions in engine[f"w{bits}+{CACHE.key}"].chunks])
    assert got.mean() == pytest.approx(expected.mean(), rel=0.02)
    alone = np.stack([positions.kl for positions in engine[f"w{bits}"].chunks])
    assert not np.array_equal(got, alone)


def test_fewer_bits_cost_more(engine: dict[str, Scored]) -> None:
    means = [np.mean([p.kl.mean() for p in engine[f"w{bits}"].chunks]) for bits in WIDTHS]
    assert means[0] * 10 < means[1] and means[1] * 3 < means[2]
