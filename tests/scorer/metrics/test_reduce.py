"""Every way of reducing a tile of logits against the oracle, and independent of how it is cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from oracle_drift import score_rows

from scorer.metrics.definition import LOWEST_KL, TileScalars
from scorer.metrics.reduce import Metrics, MetricsName, host_rows

# The fused kernel needs a GPU; its arithmetic and its choice have tests of their own.
NAMES: tuple[MetricsName, ...] = tuple(n for n in get_args(MetricsName) if n != "fused")
HOST: tuple[MetricsName, ...] = ("numpy", "plain")
FLOATS = ("kl", "nll_ref", "nll_quant", "top_ref_logprob", "top_quant_logprob")
ALL = (*FLOATS, "top_ref", "top_quant")
TOLERANCE: dict[str, dict[str, float]] = {
    "plain": {"rtol": 1e-9, "atol": 1e-12},
    "numpy": {"rtol": 1e-6, "atol": 1e-7},
    # Sums in float32, on the device.
    "mlx": {"rtol": 1e-5, "atol": 1e-5},
}
# On a handful of tokens the rounding of single exponentials does not average out.
FEW_TOKENS: dict[str, dict[str, float]] = {
    "plain": {"rtol": 1e-9, "atol": 1e-12},
    "numpy": {"rtol": 1e-6, "atol": 4e-7},
    "mlx": {"rtol": 1e-6, "atol": 2e-6},
}
Array = NDArray[np.float32]


@pytest.fixture(autouse=True)
def _on_the_cpu_device() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


def tile(
    seed: int, batch: int, length: int, vocab: int, drift: float = 0.1
) -> tuple[Array, Array, NDArray[np.int32]]:
    """Reference and candidate logits (B, T, V) and targets (B, T)."""
    rng = np.random.default_rng(seed)
    reference = 4 * rng.standard_normal((batch, length, vocab)).astype(np.float32)
    noise = drift * rng.standard_normal(reference.shape)
    targets = rng.integers(0, vocab, (batch, length)).astype(np.int32)
    return reference, (reference + noise).astype(np.float32), targets


def reduce(
    name: MetricsName, reference: Array, candidate: Array, targets: NDArray[np.int32]
) -> TileScalars:
    return (
        Metrics(name).reference(mx.array(reference), mx.array(targets)).compare(mx.array(candidate))
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("drift", [1e-3, 0.1, 2.0])
def test_every_way_equals_the_oracle(name: MetricsName, drift: float) -> None:
    reference, candidate, targets = tile(1, 2, 19, 1100, drift)
    got = reduce(name, reference, candidate, targets)
    expected = score_rows(
        reference.reshape(-1, 1100), candidate.reshape(-1, 1100), targets.reshape(-1)
    )
    for scalar in FLOATS:
        values = getattr(got, scalar)
        assert values.shape == (38,)
        assert values.dtype == np.float64
        np.testing.assert_allclose(values, expected[scalar], **TOLERANCE[name], err_msg=scalar)
    for scalar in ("top_ref", "top_quant"):
        np.testing.assert_array_equal(getattr(got, scalar), expected[scalar], scalar)


@pytest.mark.parametrize("name", NAMES)
@given(
    pair=arrays(np.float32, (2, 3, 8), elements=st.floats(-1e4, 1e4, width=32)),
    target=st.integers(0, 7),
)
def test_any_finite_logits(name: MetricsName, pair: Array, target: int) -> None:
    reference, candidate = pair[:1], pair[1:]
    got = reduce(name, reference, candidate, np.full((1, 3), target, np.int32))
    expected = score_rows(reference[0], candidate[0], np.full(3, target))
    for scalar in FLOATS:
        np.testing.assert_allclose(
            getattr(got, scalar), expected[scalar], **FEW_TOKENS[name], err_msg=scalar
        )
    np.testing.assert_array_equal(got.top_ref, expected["top_ref"])
    np.testing.assert_array_equal(got.top_quant, expected["top_quant"])


@pytest.mark.parametrize("name", NAMES)
@given(
    rows=arrays(np.float32, (1, 2, 6), elements=st.floats(-30, 30, width=32)),
    nudges=arrays(np.float32, (1, 2, 6), elements=st.floats(-(2**-6), 2**-6, width=32)),
)
def test_kl_stays_above_what_its_arithmetic_allows(
    name: MetricsName, rows: Array, nudges: Array
) -> None:
    made = Metrics(name).reference(mx.array(rows), mx.zeros((1, 2), mx.int32))
    lowest = Metrics(name).lowest_kl
    assert lowest == (100 * LOWEST_KL if name == "mlx" else LOWEST_KL)
    assert (made.compare(mx.array(rows + nudges)).kl >= lowest).all()
    assert (made.compare(mx.array(rows)).kl == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_ties_go_to_the_lowest_index(name: MetricsName) -> None:
    reference = np.array([[[1, 3, 3, 0], [2, 2, 2, 2]]], np.float32)
    candidate = np.array([[[3, 1, 3, 3], [0, 2, 2, 2]]], np.float32)
    got = reduce(name, reference, candidate, np.zeros((1, 2), np.int32))
    np.testing.assert_array_equal(got.top_ref, [1, 0])
    np.testing.assert_array_equal(got.top_quant, [0, 1])


@pytest.mark.parametrize("name", NAMES)
def test_infinite_kl_is_kept_and_ruled_out_tokens_cost_nothing(name: MetricsName) -> None:
    gone = -np.inf
    reference = np.array([[[0, 0, 0], [0, 1, gone], [0, 1, gone]]], np.float32)
    candidate = np.array([[[0, 0, gone], [1, 0, gone], [1, 0, 2]]], np.float32)
    targets = np.zeros((1, 3), np.int32)
    got = reduce(name, reference, candidate, targets)
    expected = score_rows(reference[0], candidate[0], targets[0])
    assert got.kl[0] == np.inf
    np.testing.assert_allclose(got.kl[1:], expected["kl"][1:], rtol=1e-5)
    assert np.isfinite(got.nll_quant).all()


@pytest.mark.parametrize("name", NAMES)
def test_nan_stays_nan(name: MetricsName) -> None:
    reference, candidate, targets = tile(5, 1, 4, 50)
    candidate[0, 2, 7] = np.nan
    got = reduce(name, reference, candidate, targets)
    np.testing.assert_array_equal(np.isnan(got.kl), [False, False, True, False])
    np.testing.assert_array_equal(np.isnan(got.nll_quant), [False, False, True, False])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_sixteen_bit_logits_are_compared_in_float32(name: MetricsName, dtype: mx.Dtype) -> None:
    reference, candidate, targets = tile(8, 1, 6, 200)
    rounded = [mx.array(half).astype(dtype) for half in (reference, candidate)]
    got = Metrics(name).reference(rounded[0], mx.array(targets)).compare(rounded[1])
    widened = [np.array(half.astype(mx.float32)) for half in rounded]
    expected = score_rows(widened[0][0], widened[1][0], targets[0])
    for scalar in FLOATS:
        np.testing.assert_allclose(getattr(got, scalar), expected[scalar], **TOLERANCE[name])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("step", [1, 7, 16, 33])
def test_neither_tiles_nor_batches_change_a_bit(name: MetricsName, step: int) -> None:
    reference, candidate, targets = tile(2, 3, 41, 257)
    whole = reduce(name, reference, candidate, targets)
    cut = {scalar: np.empty((3, 41)) for scalar in ALL}
    for row in range(3):
        for a in range(0, 41, step):
            part = (slice(row, row + 1), slice(a, a + step))
            got = reduce(name, reference[part], candidate[part], targets[part])
            for scalar in ALL:
                cut[scalar][part] = getattr(got, scalar)
    for scalar in ALL:
        np.testing.assert_array_equal(cut[scalar].reshape(-1), getattr(whole, scalar), scalar)


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_tile_gives_its_nll_and_serves_many_candidates(name: MetricsName) -> None:
    reference, candidate, targets = tile(3, 2, 9, 64)
    shared = Metrics(name).reference(mx.array(reference), mx.array(targets))
    first = shared.compare(mx.array(candidate))
    shared.compare(mx.array(candidate + 5 * np.sign(candidate)))
    again = shared.compare(mx.array(candidate))
    np.testing.assert_array_equal(shared.nll, first.nll_ref)
    for scalar in ALL:
        np.testing.assert_array_equal(getattr(first, scalar), getattr(again, scalar), scalar)


def test_host_rows_reads_slices_and_transposes_in_order() -> None:
    block = mx.arange(2 * 5 * 3, dtype=mx.float32).reshape(2, 5, 3)
    np.testing.assert_array_equal(
        host_rows(block[:, 1:4]), np.arange(30).reshape(2, 5, 3)[:, 1:4].reshape(-1, 3)
    )
    np.testing.assert_array_equal(
        host_rows(block.swapaxes(0, 1)),
        np.arange(30).reshape(2, 5, 3).swapaxes(0, 1).reshape(-1, 3),
    )


def test_the_fast_way_of_a_device() -> None:
    assert Metrics.for_device("cpu").name == "numpy"
    assert {Metrics.for_device("metal").name, Metrics.for_device("cuda").name} == {"fused"}
