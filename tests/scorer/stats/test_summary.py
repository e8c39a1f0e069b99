"""Summaries of positions: a worked example, an independent oracle, properties."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import oracle_summary as oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_builders import make_positions, random_positions

from scorer.common.errors import SettingFailed
from scorer.stats.positions import Positions
from scorer.stats.quantiles import DELTA_P_LADDER, KL_LADDER, ladder, quantile
from scorer.stats.summary import kl_summary, summarize

LN2 = math.log(2)

# Two positions over a vocabulary of three tokens.
#
# position 0: p = (1/2, 1/4, 1/4), q = (1/4, 1/2, 1/4), target 0
#   KL = 1/2 ln 2 + 1/4 ln(1/2) + 0 = 1/4 ln 2; top token 0 -> 1: a flip
#   nll_ref = ln 2, nll_quant = 2 ln 2, Δp = 25 % - 50 % = -25 %
# position 1: p = (1/4, 1/4, 1/2), q = (1/8, 3/8, 1/2), target 0
#   KL = 1/4 ln 2 + 1/4 ln(2/3) + 0 = 1/4 ln(4/3); top token 2 -> 2: no flip
#   nll_ref = 2 ln 2, nll_quant = 3 ln 2, Δp = 12.5 % - 25 % = -12.5 %
KL_0, KL_1 = LN2 / 4, math.log(4 / 3) / 4


def worked_example() -> Positions:
    return Positions(
        chunk=np.zeros(2, np.int32),
        position=np.arange(2, dtype=np.int32),
        token=np.zeros(2, np.int32),
        kl=np.array([KL_0, KL_1]),
        nll_ref=np.array([LN2, 2 * LN2]),
        nll_quant=np.array([2 * LN2, 3 * LN2]),
        top_ref=np.array([0, 2], np.int32),
        top_ref_logprob=np.log([0.5, 0.5]),
        top_quant=np.array([1, 2], np.int32),
        top_quant_logprob=np.log([0.5, 0.5]),
    )


def test_worked_example_kl() -> None:
    summary = summarize(worked_example())
    # mean (1/4 ln 2 + 1/4 ln(4/3)) / 2 = 1/8 ln(8/3); median halfway, p99 at index 0.99
    assert summary.kl.mean == pytest.approx(math.log(8 / 3) / 8, rel=1e-15)
    assert summary.kl.median == pytest.approx((KL_0 + KL_1) / 2, rel=1e-15)
    assert summary.kl.p99 == pytest.approx(KL_1 + 0.99 * (KL_0 - KL_1), rel=1e-14)
    assert summary.kl.max == KL_0
    for name, fraction in KL_LADDER.items():
        expected = KL_1 + fraction * (KL_0 - KL_1)
        assert summary.kl_quantiles[name] == pytest.approx(expected, rel=1e-14)
    assert list(summary.kl_quantiles) == [
        *("max", "p99.9", "p99", "p95", "p90", "median", "p10", "p5", "p1", "min")
    ]


def test_worked_example_likelihoods() -> None:
    summary = summarize(worked_example())
    assert summary.flip_rate == 0.5
    # mean NLLs 3/2 ln 2 and 5/2 ln 2
    assert summary.perplexity_ref == pytest.approx(2**1.5, rel=1e-15)
    assert summary.perplexity_quant == pytest.approx(2**2.5, rel=1e-15)
    assert summary.perplexity_delta == pytest.approx(2**1.5, rel=1e-14)
    assert summary.ln_perplexity_ratio == pytest.approx(LN2, rel=1e-15)
    assert summary.perplexity_ratio == pytest.approx(2, rel=1e-15)
    # (ln 2, 2 ln 2) and (2 ln 2, 3 ln 2) lie on a line
    assert summary.nll_correlation == pytest.approx(1, abs=1e-15)


def test_worked_example_delta_p() -> None:
    found = summarize(worked_example()).delta_p
    # mean (-25 - 12.5) / 2; RMS sqrt((625 + 156.25) / 2) = sqrt(390.625)
    assert found["mean"] == pytest.approx(-18.75, rel=1e-14)
    assert found["rms"] == pytest.approx(19.764235376052370, rel=1e-14)
    expected = {
        "max": -12.5,
        "p99.9": -12.5125,
        "p99": -12.625,
        "p95": -13.125,
        "p90": -13.75,
        "p75": -15.625,
        "median": -18.75,
        "p25": -21.875,
        "p10": -23.75,
        "p5": -24.375,
        "p1": -24.875,
        "p0.1": -24.9875,
        "min": -25.0,
    }
    assert {k: v for k, v in found.items() if k not in ("mean", "rms")} == pytest.approx(expected)
    assert list(expected) == list(DELTA_P_LADDER)


def test_worked_example_depth_and_confidence() -> None:
    summary = summarize(worked_example())
    # T = 2 gives 2 spans of one position each
    spans = [(s.start, s.end, s.kl_mean, s.kl_p99, s.n_positions) for s in summary.depth]
    assert spans == [(0, 1, KL_0, KL_0, 1), (1, 2, KL_1, KL_1, 1)]
    # both top probabilities are 1/2, the lower edge of the third bucket
    buckets = [(b.low, b.high, b.n_positions) for b in summary.confidence]
    assert buckets == [(0, 0.25, 0), (0.25, 0.5, 0), (0.5, 0.75, 2), (0.75, 0.95, 0), (0.95, 1, 0)]
    third = summary.confidence[2]
    assert third.kl_mean == pytest.approx(math.log(8 / 3) / 8, rel=1e-15)
    assert third.flip_rate == 0.5
    assert summary.confidence[0].kl_mean is None
    assert summary.confidence[0].flip_rate is None


def test_worked_example_per_chunk() -> None:
    sums = summarize(worked_example()).per_chunk
    assert (sums.chunks, sums.sizes, sums.flips) == ((0,), (2,), (1,))
    assert sums.kl[0] == pytest.approx(math.log(8 / 3) / 4, rel=1e-15)
    assert sums.nll_difference[0] == pytest.approx(2 * LN2, rel=1e-15)


values = st.floats(-1e-7, 50.0) | st.just(math.inf) | st.sampled_from([0.0, 1.0, 2.0])
finite = st.floats(0.0, 40.0)


@given(st.lists(values, min_size=1, max_size=300), st.sampled_from(list(oracle.FRACTIONS)))
def test_quantiles_equal_exact_ones_also_with_infinities(data: list[float], name: str) -> None:
    found = quantile(np.array(data), float(oracle.FRACTIONS[name]))
    assert found == pytest.approx(
        oracle.quantile(data, oracle.FRACTIONS[name]), rel=1e-12, abs=1e-18
    )


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=300))
def test_finite_quantiles_equal_numpys_bit_for_bit(data: list[float]) -> None:
    array = np.array(data)
    for fraction in DELTA_P_LADDER.values():
        assert quantile(array, fraction) == float(np.quantile(array, fraction))


def test_an_infinite_neighbour_with_weight_zero_does_not_count() -> None:
    # 101 values: p99 is index 99 exactly, the largest finite value.
    data = np.append(np.arange(100.0), np.inf)
    assert quantile(data, 0.99) == 99.0
    assert quantile(data, 0.999) == math.inf


def test_index_of_every_ladder_fraction_is_exact_where_it_is_whole() -> None:
    # A rounding error in the index would give an infinite neighbour a weight.
    for name, fraction in {**KL_LADDER, **DELTA_P_LADDER}.items():
        exact = oracle.FRACTIONS[name]
        for multiple in range(1, 20_000):
            n = exact.denominator * multiple
            assert n * fraction == exact.numerator * multiple


@given(st.lists(values, min_size=1, max_size=100))
def test_quantiles_are_monotone_and_bounded(data: list[float]) -> None:
    found = ladder(np.array(data), DELTA_P_LADDER)
    ordered = list(found.values())
    assert all(a >= b for a, b in itertools.pairwise(ordered))
    assert ordered[0] == max(data)
    assert ordered[-1] == min(data)


@st.composite
def scored_positions(draw: st.DrawFn) -> Positions:
    n_depth = draw(st.integers(1, 20))
    chunks = draw(st.lists(st.integers(0, 900), min_size=1, max_size=6, unique=True))
    n = n_depth * len(chunks)
    column = st.lists(finite, min_size=n, max_size=n)
    ref = draw(column)
    return make_positions(
        chunk=np.repeat(chunks, n_depth),
        position=np.tile(np.arange(n_depth), len(chunks)),
        kl=draw(st.lists(values, min_size=n, max_size=n)),
        nll_ref=ref,
        nll_quant=draw(column),
        flips=draw(st.lists(st.booleans(), min_size=n, max_size=n)),
        top_p=draw(
            st.lists(
                st.floats(1e-3, 1.0) | st.sampled_from([0.25, 0.5, 0.75, 0.95]),
                min_size=n,
                max_size=n,
            )
        ),
    )


@given(scored_positions())
def test_summary_equals_oracle(positions: Positions) -> None:
    summary = summarize(positions)
    kl = positions.kl.tolist()
    ref, quant = positions.nll_ref.tolist(), positions.nll_quant.tolist()
    assert summary.kl.mean == pytest.approx(oracle.mean(kl), rel=1e-14, abs=1e-22)
    assert summary.flip_rate == oracle.mean([float(f) for f in positions.flips])
    assert summary.n_infinite == sum(math.isinf(v) for v in kl)
    assert summary.perplexity_ref == pytest.approx(oracle.perplexity(ref), rel=1e-13)
    assert summary.perplexity_quant == pytest.approx(oracle.perplexity(quant), rel=1e-13)
    assert summary.perplexity_delta == summary.perplexity_quant - summary.perplexity_ref
    difference = [b - a for a, b in zip(ref, quant, strict=True)]
    assert summary.ln_perplexity_ratio == pytest.approx(
        oracle.mean(difference), rel=1e-12, abs=1e-14
    )
    change = [100 * (math.exp(-b) - math.exp(-a)) for a, b in zip(ref, quant, strict=True)]
    assert summary.delta_p["mean"] == pytest.approx(oracle.mean(change), rel=1e-9, abs=1e-12)
    assert summary.delta_p["rms"] == pytest.approx(oracle.rms(change), rel=1e-9, abs=1e-12)
    for name in DELTA_P_LADDER:
        assert summary.delta_p[name] == pytest.approx(
            oracle.quantile(change, oracle.FRACTIONS[name]), rel=1e-9, abs=1e-12
        )


@given(scored_positions())
def test_depth_and_confidence_equal_oracle(positions: Positions) -> None:
    summary = summarize(positions)
    edges = oracle.depth_edges(int(positions.position.max()) + 1)
    assert [s.start for s in summary.depth] == edges[:-1]
    assert [s.end for s in summary.depth] == edges[1:]
    for span in summary.depth:
        inside = [
            kl
            for kl, t in zip(positions.kl.tolist(), positions.position.tolist(), strict=True)
            if span.start <= t < span.end
        ]
        assert span.n_positions == len(inside)
        assert span.kl_mean == pytest.approx(oracle.mean(inside), rel=1e-14, abs=1e-22)
        assert span.kl_p99 == pytest.approx(
            oracle.quantile(inside, Fraction(99, 100)), rel=1e-12, abs=1e-18
        )
    assert sum(b.n_positions for b in summary.confidence) == len(positions)
    top = np.exp(positions.top_ref_logprob).tolist()
    for bucket in summary.confidence:
        rows = [
            i
            for i, p in enumerate(top)
            if bucket.low <= p < bucket.high or (bucket.high == 1 and p >= 1)
        ]
        assert bucket.n_positions == len(rows)
        if rows:
            flips = [float(positions.flips[i]) for i in rows]
            kl = [float(positions.kl[i]) for i in rows]
            assert bucket.flip_rate == pytest.approx(oracle.mean(flips), rel=1e-15)
            assert bucket.kl_mean == pytest.approx(oracle.mean(kl), rel=1e-14, abs=1e-22)


@given(scored_positions(), st.randoms(use_true_random=False))
def test_order_of_positions_does_not_matter(positions: Positions, random: object) -> None:
    order = list(range(len(positions)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = positions.select(np.array(order))
    assert summarize(shuffled) == summarize(positions)


@given(st.integers(2, 200), st.integers(0, 2**32 - 1))
def test_correlation_equals_oracle(n: int, seed: int) -> None:
    random = np.random.RandomState(seed)
    ref = random.gamma(2, 1, n)
    quant = ref + random.normal(0, random.choice([0.01, 1.0]), n)
    found = summarize(
        make_positions(
            chunk=np.zeros(n), position=np.arange(n), kl=np.ones(n), nll_ref=ref, nll_quant=quant
        )
    ).nll_correlation
    assert found is not None
    assert found == pytest.approx(oracle.correlation(ref.tolist(), quant.tolist()), abs=1e-12)


def test_a_constant_nll_has_no_correlation() -> None:
    positions = make_positions(chunk=[0, 0], position=[0, 1], kl=[0.1, 0.2])
    assert summarize(positions).nll_correlation is None


def test_depth_counts_from_the_first_scored_position() -> None:
    # Deployment with start 7 of chunks of 16 tokens: positions 7 to 14, T = 8, one each span.
    positions = random_positions(n_chunks=3, n_depth=8, first=7)
    spans = summarize(positions, first_position=7, n_depth=8).depth
    assert [(s.start, s.end, s.n_positions) for s in spans] == [(i, i + 1, 3) for i in range(8)]
    first = positions.kl[positions.position == 7]
    assert spans[0].kl_mean == pytest.approx(first.mean(), rel=1e-15)


def test_512_tokens_have_the_spans_of_the_definition() -> None:
    positions = random_positions(n_chunks=2, n_depth=511)
    edges = [s.start for s in summarize(positions).depth]
    assert edges == [0, 63, 127, 191, 255, 319, 383, 447]


def test_huge_nlls_give_infinite_perplexity() -> None:
    positions = make_positions(
        chunk=[0, 0], position=[0, 1], kl=[1.0, 2.0], nll_ref=[1.0, 2.0], nll_quant=[900.0, 800.0]
    )
    summary = summarize(positions)
    assert summary.perplexity_quant == math.inf
    assert summary.perplexity_delta == math.inf


def test_slightly_negative_kl_is_summed_unclipped() -> None:
    positions = make_positions(chunk=[0, 0], position=[0, 1], kl=[-1e-8, 1e-8])
    assert summarize(positions).kl.mean == 0.0
    assert summarize(positions).kl_quantiles["min"] == -1e-8


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kl": [0.1, math.nan]}, "position 1 of chunk 3 holds no usable number"),
        ({"nll_quant": [math.inf, 1.0]}, "position 0 of chunk 3 holds no usable number"),
        ({"position": [1, 1]}, "position 1 of chunk 3 occurs twice"),
    ],
)
def test_damaged_positions_are_refused(change: dict[str, list[float]], words: str) -> None:
    columns = {"chunk": [3, 3], "position": [0, 1], "kl": [0.1, 0.2], **change}
    with pytest.raises(SettingFailed, match=words):
        summarize(make_positions(**columns))


def test_no_position_is_refused() -> None:
    empty = make_positions(chunk=[0], position=[0], kl=[1.0]).select(slice(0, 0))
    with pytest.raises(SettingFailed, match="no scored position"):
        summarize(empty)


def test_control_summary_equals_the_full_one() -> None:
    positions = random_positions(flip_rate=0.3)
    full = summarize(positions)
    assert kl_summary(positions) == (full.kl, full.flip_rate)
