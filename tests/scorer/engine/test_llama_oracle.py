"""The whole engine on the demo model against a Llama written in NumPy.

Quantizing rounds, and a number that stands between two codes falls to either side by the last bit
of whatever was computed before it. So KL means are held against the noise floor: the spread over
repeats whose embeddings and rotation frequencies are moved by one unit in the last place of
float32, which is as far as the two programs may differ there.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from kv_cases import kv_lane, reference_lane
from numpy.typing import NDArray
from project import ROOT, SUPPORT
from tokenizers import Tokenizer

from scorer.device.backend import start_backend
from scorer.engine.loop import Loop
from scorer.engine.outcomes import Scored, ScoreTask
from scorer.engine.tiles import Batch
from scorer.lanes.kv.lane import CODES, DEQUANTIZED
from scorer.lm.load import load
from scorer.lm.split_model import SplitModel
from scorer.metrics.reduce import Metrics
from scorer.spec.settings.kv import KVSetting

MODEL = ROOT / "scorer" / "demo" / "model"
CHUNKS, LENGTH, REPEATS = 3, 192, 16
NOTATIONS = ("8", "k8v3:32", "4@96")
# Standard deviation of each setting's KL mean over the repeats, nats, as a slow test measures it.
FLOORS = {"8": 8.0e-7, "k8v3:32": 1.91e-5, "4@96": 2.00e-5}
ULP = 2.0**-23
# One code that falls the other way can move a mean by half a percent, and sixteen repeats need not
# meet such a one: no floor is taken for less than this part of the mean.
LEAST_FLOOR = 1e-3

KL = dict[str, NDArray[np.float64]]


@pytest.fixture(autouse=True, scope="module")
def _on_the_cpu_device() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


@pytest.fixture(scope="module")
def tokens() -> NDArray[np.int32]:
    """(C, L) tokens of a text that never changes."""
    text = (ROOT / "LICENSE").read_text("utf-8")
    ids = Tokenizer.from_file(str(MODEL / "tokenizer.json")).encode(text).ids
    return np.array(ids[: CHUNKS * LENGTH], np.int32).reshape(CHUNKS, LENGTH)


def _columns(setting: KVSetting) -> str:
    return f"{setting.k_bits},{setting.v_bits},{setting.group_size},{setting.start}"


@pytest.fixture(scope="module")
def oracle(
    tokens: NDArray[np.int32], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, NDArray[np.float64]]:
    """What the NumPy Llama says, in a process that knows neither MLX nor the engine."""
    folder = tmp_path_factory.mktemp("oracle")
    np.save(folder / "tokens.npy", tokens)
    settings = [_columns(KVSetting.parse(notation)) for notation in NOTATIONS]
    subprocess.run(
        [
            *(sys.executable, SUPPORT / "oracle_llama.py", MODEL),
            *(folder / "tokens.npy", folder / "out.npz"),
            *settings,
        ],
        check=True,
        # Two pools of threads that wait for each other's core take ten times as long.
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )
    with np.load(folder / "out.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def split() -> SplitModel:
    # Loaded as on the CPU, also where a GPU is the default: everything in float32.
    return SplitModel(load(MODEL, dataclasses.replace(start_backend(), kind="cpu")).module)


def scored(split: SplitModel, tokens: NDArray[np.int32], arithmetic: str) -> dict[str, Scored]:
    """One pass of the engine's loop over all chunks."""
    lanes = [kv_lane(split, KVSetting.parse(notation), arithmetic) for notation in NOTATIONS]
    batch = Batch(tuple(range(CHUNKS)), tokens, 0)
    vocab = split.model.args.vocab_size
    loop = Loop(reference_lane(split), Metrics("numpy"), vocab, lambda: False)
    outcomes = list(loop.score([ScoreTask(batch, lanes)]))
    found = {o.lane.key: o for o in outcomes if isinstance(o, Scored)}
    assert found.keys() == set(NOTATIONS), outcomes
    return found


def kl_mean(found: Scored) -> float:
    return float(np.concatenate([positions.kl for positions in found.chunks]).mean())


@pytest.fixture(scope="module")
def engine(split: SplitModel, tokens: NDArray[np.int32]) -> dict[str, dict[str, Scored]]:
    return {arithmetic: scored(split, tokens, arithmetic) for arithmetic in (DEQUANTIZED, CODES)}


class _Rotation(nn.Module):
    """Rotary positions with frequencies of our own."""

    def __init__(self, wavelengths: NDArray[np.float64]) -> None:
        super().__init__()
        self._dims = 2 * len(wavelengths)
        self._wavelengths = mx.array(wavelengths.astype(np.float32))

    def __call__(self, x: mx.array, offset: int = 0) -> mx.array:
        rotated: mx.array = mx.fast.rope(
            x,
            self._dims,
            traditional=False,
            base=None,
            scale=1.0,
            offset=offset,
            freqs=self._wavelengths,
        )
        return rotated


@contextmanager
def last_bits_changed(split: SplitModel, seed: int) -> Iterator[None]:
    """Embeddings and rotation frequencies times 1 + ε, ε uniform in ± one ulp."""
    rng = np.random.default_rng(seed)
    model: Any = split.model
    args, layers = model.args, model.model.layers
    steps = np.arange(args.head_dim // 2) / (args.head_dim // 2)
    moved = 1 + ULP * rng.uniform(-1, 1, steps.shape)
    rotation = _Rotation(args.rope_theta**steps * moved)
    shape = (CHUNKS, LENGTH - 1, args.hidden_size)
    noise = mx.array((1 + ULP * rng.uniform(-1, 1, shape)).astype(np.float32))
    plain: Any = nn.Embedding.__call__
    begin = 0

    def embed(table: nn.Embedding, tokens: mx.array) -> mx.array:
        nonlocal begin
        end = begin + tokens.shape[1]
        embedded: mx.array = plain(table, tokens) * noise[:, begin:end]
        begin = end % (LENGTH - 1)
        return embedded

    own = [layer.self_attn.rope for layer in layers]
    for layer in layers:
        layer.self_attn.rope = rotation
    try:
        with mock.patch.object(nn.Embedding, "__call__", embed):
            yield
    finally:
        for layer, rope in zip(layers, own, strict=True):
            layer.self_attn.rope = rope


def floor_over(split: SplitModel, tokens: NDArray[np.int32]) -> dict[str, float]:
    """Standard deviation of each setting's KL mean over the repeats, nats."""
    means: dict[str, list[float]] = {notation: [] for notation in NOTATIONS}
    for seed in range(REPEATS):
        with last_bits_changed(split, seed):
            for notation, found in scored(split, tokens, DEQUANTIZED).items():
                means[notation].append(kl_mean(found))
    return {notation: float(np.std(values, ddof=1)) for notation, values in means.items()}


@pytest.mark.slow
def test_the_floors_are_those_written_down(split: SplitModel, tokens: NDArray[np.int32]) -> None:
    for notation, measured in floor_over(split, tokens).items():
        assert FLOORS[notation] / 2 < measured < 2 * FLOORS[notation], (notation, measured)


def test_reference_logits(
    split: SplitModel, tokens: NDArray[np.int32], oracle: dict[str, NDArray[np.float64]]
) -> None:
    lane = reference_lane(split)
    got = lane.logits(lane.hidden(mx.array(tokens[:, :-1])), 0, LENGTH - 1)
    expected = oracle["logits"]
    assert np.abs(expected).max() > 5, "a model that says nothing proves nothing"
    np.testing.assert_allclose(np.array(got), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("arithmetic", [DEQUANTIZED, CODES])
def test_kl_mean_within_the_noise_floor(
    arithmetic: str,
    notation: str,
    engine: dict[str, dict[str, Scored]],
    oracle: dict[str, NDArray[np.float64]],
) -> None:
    setting = KVSetting.parse(notation)
    expected = oracle[f"kl {_columns(setting)}"][:, setting.start :].mean()
    sigma = max(FLOORS[notation], LEAST_FLOOR * expected)
    assert sigma < 0.02 * expected, "a floor this high would pass anything"
    assert abs(kl_mean(engine[arithmetic][notation]) - expected) <= 4 * np.sqrt(2) * sigma


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("arithmetic", [DEQUANTIZED, CODES])
def test_every_position(
    arithmetic: str,
    notation: str,
    engine: dict[str, dict[str, Scored]],
    oracle: dict[str, NDArray[np.float64]],
    tokens: NDArray[np.int32],
) -> None:
    """Targets, positions and likelihoods; few positions are moved far by a code at an edge."""
    setting = KVSetting.parse(notation)
    kl, nll = (oracle[f"{name} {_columns(setting)}"] for name in ("kl", "nll"))
    off = []
    for chunk, found in enumerate(engine[arithmetic][notation].chunks):
        scored_from = slice(setting.start, None)
        np.testing.assert_array_equal(found.chunk, chunk)
        np.testing.assert_array_equal(found.position, np.arange(setting.start, LENGTH - 1))
        np.testing.assert_array_equal(found.token, tokens[chunk, 1:][scored_from])
        np.testing.assert_allclose(
            found.nll_ref, oracle["nll_ref"][chunk, scored_from], rtol=0, atol=1e-4
        )
        spread = np.sqrt(kl[chunk, scored_from].mean())
        print("N", notation, np.median(np.abs(found.nll_quant - nll[chunk, scored_from])) / spread)
        assert np.median(np.abs(found.nll_quant - nll[chunk, scored_from])) < 0.5 * spread
        off.append(np.abs(found.kl - kl[chunk, scored_from]))
    print("K", notation, np.median(np.concatenate(off)) / kl[:, setting.start :].mean())
    assert np.median(np.concatenate(off)) < 0.1 * kl[:, setting.start :].mean()


def test_fewer_bits_cost_more(engine: dict[str, dict[str, Scored]]) -> None:
    means = [kl_mean(engine[DEQUANTIZED][notation]) for notation in ("8", "k8v3:32", "4@96")]
    assert 0 < 10 * means[0] < min(means[1:])
