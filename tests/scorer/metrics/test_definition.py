"""The metrics of one position: both host paths against a float64 oracle, and what must always hold.

The fast path sums in float64 but takes exponentials in float32. Their rounding averages out over a
vocabulary; on a handful of tokens, or on rows so flat that all exponentials round one way, it adds
up to a few units in the last place, which ``FEW_TOKENS`` allows for.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from oracle_drift import score_row, score_rows

from scorer.metrics.definition import LOWEST_KL, Reference, TileScalars

Array = NDArray[np.float32]
FLOATS = ("kl", "nll_ref", "nll_quant", "top_ref_logprob", "top_quant_logprob")
PLAIN = {"rtol": 1e-9, "atol": 1e-12}
FAST = {"rtol": 1e-6, "atol": 1e-7}
FEW_TOKENS = {"rtol": 1e-6, "atol": 4e-7}


def compare(
    reference: Array, candidate: Array, targets: NDArray[np.int64], *, plain: bool
) -> TileScalars:
    return Reference(reference, targets, plain=plain).compare(candidate)


def random_rows(
    seed: int, count: int, vocab: int, scale: float, drift: float
) -> tuple[Array, Array, NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    reference = (scale * rng.standard_normal((count, vocab))).astype(np.float32)
    noise = drift * scale * rng.standard_normal((count, vocab))
    return reference, (reference + noise).astype(np.float32), rng.integers(0, vocab, count)


@st.composite
def tiles(draw: st.DrawFn, low: float = -1e4, high: float = 1e4) -> tuple[Array, Array]:
    """A pair of (N, V) tiles: any finite logits, or a reference and its slight perturbation."""
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 24)))
    numbers = st.floats(low, high, width=32)
    reference = draw(arrays(np.float32, shape, elements=numbers))
    if draw(st.booleans()):
        return reference, draw(arrays(np.float32, shape, elements=numbers))
    nudges = draw(arrays(np.float32, shape, elements=st.floats(-0.125, 0.125, width=32)))
    return reference, np.clip(reference + nudges, low, high).astype(np.float32)


def zeros(rows: Array) -> NDArray[np.int64]:
    return np.zeros(len(rows), np.int64)


@pytest.mark.parametrize("drift", [1e-6, 1e-3, 0.03, 1.0])
@pytest.mark.parametrize("scale", [0.1, 3.0, 12.0])
def test_both_paths_equal_the_oracle(scale: float, drift: float) -> None:
    reference, candidate, targets = random_rows(7, 37, 1531, scale, drift)
    expected = score_rows(reference, candidate, targets)
    for plain, tolerance in ((True, PLAIN), (False, FAST)):
        got = compare(reference, candidate, targets, plain=plain)
        for name in FLOATS:
            np.testing.assert_allclose(
                getattr(got, name), expected[name], **tolerance, err_msg=name
            )
        for name in ("top_ref", "top_quant"):
            np.testing.assert_array_equal(getattr(got, name), expected[name])


@given(tiles(), st.integers(0, 23))
def test_any_finite_logits_equal_the_oracle(pair: tuple[Array, Array], target: int) -> None:
    reference, candidate = pair
    targets = np.full(len(reference), target % reference.shape[1])
    expected = score_rows(reference, candidate, targets)
    for plain, tolerance in ((True, PLAIN), (False, FEW_TOKENS)):
        got = compare(reference, candidate, targets, plain=plain)
        for name in FLOATS:
            np.testing.assert_allclose(
                getattr(got, name), expected[name], **tolerance, err_msg=name
            )
        np.testing.assert_array_equal(got.top_ref != got.top_quant, _flips(expected))


def _flips(expected: dict[str, NDArray[np.float64]]) -> NDArray[np.bool_]:
    changed: NDArray[np.bool_] = expected["top_ref"] != expected["top_quant"]
    return changed


@pytest.mark.parametrize("plain", [True, False])
@given(pair=tiles())
def test_kl_is_finite_and_not_below_zero_by_more_than_rounding(
    pair: tuple[Array, Array], plain: bool
) -> None:
    got = compare(*pair, zeros(pair[0]), plain=plain)
    assert np.isfinite(got.kl).all()
    assert (got.kl >= LOWEST_KL).all()
    assert LOWEST_KL == -1e-7


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("vocab", [2, 100, 4096])
def test_nearly_flat_rows_stay_above_the_lowest_kl(vocab: int, plain: bool) -> None:
    """All exponentials of such a row round one way: the fast sum alone gives down to −1.7e-7."""
    levels = np.linspace(0.01, 5, 400, dtype=np.float32)
    reference = np.repeat(-levels[:, None], vocab, axis=1)
    candidate = np.nextafter(reference, np.float32(-9))
    reference[:, 0] = candidate[:, 0] = 0
    got = compare(reference, candidate, zeros(reference), plain=plain)
    assert (got.kl >= LOWEST_KL).all()


@pytest.mark.parametrize("plain", [True, False])
@given(rows=arrays(np.float32, (3, 9), elements=st.floats(-1e4, 1e4, width=32)))
def test_equal_logits_have_exactly_no_drift(rows: Array, plain: bool) -> None:
    got = compare(rows, rows.copy(), zeros(rows), plain=plain)
    assert (got.kl == 0).all()
    np.testing.assert_array_equal(got.nll_ref, got.nll_quant)
    np.testing.assert_array_equal(got.top_ref, got.top_quant)


@pytest.mark.parametrize("plain", [True, False])
@given(
    pair=st.tuples(
        arrays(np.int16, (2, 7), elements=st.integers(-4096, 4096)),
        arrays(np.int16, (2, 7), elements=st.integers(-4096, 4096)),
    ),
    shift=st.integers(-(2**13), 2**13),
)
def test_a_constant_added_to_a_row_changes_nothing(
    pair: tuple[NDArray[np.int16], NDArray[np.int16]], shift: int, plain: bool
) -> None:
    """Multiples of 1/256 up to ±48: adding the constant rounds nothing, so all bits must stay."""
    reference, candidate = (half.astype(np.float32) / 256 for half in pair)
    constant = np.float32(shift / 256)
    before = compare(reference, candidate, zeros(reference), plain=plain)
    for moved in (
        compare(reference + constant, candidate, zeros(reference), plain=plain),
        compare(reference, candidate + constant, zeros(reference), plain=plain),
    ):
        for name in (*FLOATS, "top_ref", "top_quant"):
            np.testing.assert_array_equal(getattr(moved, name), getattr(before, name), name)


@pytest.mark.parametrize("plain", [True, False])
def test_hand_made_rows(plain: bool) -> None:
    third = math.log(3)
    reference = np.array([[0, math.log(2), 0], [0, 0, 0], [1e4, -1e4, 0]], np.float32)
    candidate = np.array([[0, 0, 0], [0, 0, math.log(4)], [-1e4, 1e4, 0]], np.float32)
    got = compare(reference, candidate, np.array([1, 2, 0]), plain=plain)
    # p = (1/4, 1/2, 1/4) against thirds; thirds against (1/6, 1/6, 2/3); all mass moved away.
    kl = [third - 1.5 * math.log(2), math.log(6) * 2 / 3 + math.log(1.5) / 3 - third, 2e4]
    np.testing.assert_allclose(got.kl, kl, rtol=1e-6)
    np.testing.assert_allclose(got.nll_ref, [math.log(2), third, 0], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(got.nll_quant, [third, math.log(1.5), 2e4], rtol=1e-6)
    np.testing.assert_array_equal(got.top_ref, [1, 0, 0])
    np.testing.assert_array_equal(got.top_quant, [0, 2, 1])
    np.testing.assert_allclose(np.exp(got.top_ref_logprob), [1 / 2, 1 / 3, 1], rtol=1e-6)
    np.testing.assert_allclose(np.exp(got.top_quant_logprob), [1 / 3, 2 / 3, 1], rtol=1e-6)


@pytest.mark.parametrize("plain", [True, False])
def test_exact_ties_go_to_the_lowest_index(plain: bool) -> None:
    reference = np.array([[1, 3, 3, 0], [2, 2, 2, 2]], np.float32)
    candidate = np.array([[3, 1, 3, 3], [0, 2, 2, 2]], np.float32)
    got = compare(reference, candidate, np.array([0, 0]), plain=plain)
    np.testing.assert_array_equal(got.top_ref, [1, 0])
    np.testing.assert_array_equal(got.top_quant, [0, 1])


@pytest.mark.parametrize("plain", [True, False])
def test_a_token_the_candidate_rules_out_makes_kl_infinite(plain: bool) -> None:
    """Legal where the reference gives it mass; nothing at all where the reference rules it out."""
    gone = -np.inf
    reference = np.array([[0, 0, 0], [0, 0, gone], [0, 0, gone], [0, -2e4, 0]], np.float32)
    candidate = np.array([[0, 0, gone], [0, 1, gone], [0, 1, 5], [0, gone, 0]], np.float32)
    targets = np.array([0, 0, 0, 0])
    got = compare(reference, candidate, targets, plain=plain)
    expected = score_rows(reference, candidate, targets)
    assert got.kl[0] == math.inf == expected["kl"][0]
    np.testing.assert_allclose(got.kl[1:], expected["kl"][1:], **FEW_TOKENS)
    assert np.isfinite(got.kl[1:]).all()
    assert np.isfinite(got.nll_quant).all()


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("where", ["target", "other"])
def test_nan_is_never_turned_into_a_number(where: str, plain: bool) -> None:
    reference, candidate, targets = random_rows(3, 5, 40, 3.0, 0.1)
    column = int(targets[2]) if where == "target" else (int(targets[2]) + 1) % 40
    candidate[2, column] = np.nan
    got = compare(reference, candidate, targets, plain=plain)
    assert np.isnan(got.kl[2])
    assert np.isnan(got.nll_quant[2])
    others = np.arange(5) != 2
    assert np.isfinite(got.kl[others]).all()


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("split", [1, 5, 16, 17, 40])
def test_rows_do_not_depend_on_the_tile_they_are_in(split: int, plain: bool) -> None:
    reference, candidate, targets = random_rows(11, 83, 301, 4.0, 0.2)
    whole = compare(reference, candidate, targets, plain=plain)
    parts = [
        compare(
            reference[a : a + split], candidate[a : a + split], targets[a : a + split], plain=plain
        )
        for a in range(0, 83, split)
    ]
    for name in (*FLOATS, "top_ref", "top_quant"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(whole, name), name)


def test_one_reference_serves_many_candidates_unchanged() -> None:
    reference, candidate, targets = random_rows(5, 20, 64, 2.0, 0.5)
    shared = Reference(reference, targets)
    first = shared.compare(candidate)
    shared.compare(np.full_like(candidate, 1e4))
    again = shared.compare(candidate)
    np.testing.assert_array_equal(first.kl, again.kl)
    np.testing.assert_array_equal(first.nll_ref, again.nll_ref)


def test_the_oracle_gives_the_figures_computed_by_hand() -> None:
    row = score_row(np.log([0.5, 0.25, 0.25]), np.log([0.25, 0.25, 0.5]), 2)
    assert row.kl == pytest.approx(0.5 * math.log(2) - 0.25 * math.log(2))
    assert (row.nll_ref, row.nll_quant) == pytest.approx((math.log(4), math.log(2)))
    assert (row.top_ref, row.top_quant) == (0, 2)
