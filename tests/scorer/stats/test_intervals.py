"""Student's t, intervals over chunks and documents, the bootstrap, paired differences."""

from __future__ import annotations

import math

import numpy as np
import oracle_summary as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_builders import random_positions

from scorer.stats import bootstrap
from scorer.stats.bootstrap import quantile_interval, resampled_quantiles
from scorer.stats.intervals import mean_interval, units_of
from scorer.stats.pairs import paired_difference
from scorer.stats.student_t import central_probability, t_quantile
from scorer.stats.summary import summarize

# 0.975 quantiles as printed in tables to 10 decimals and more.
T_975 = {
    1: 12.7062047361747,
    2: 4.30265272974946,
    3: 3.18244630528371,
    4: 2.77644510519779,
    5: 2.57058183563631,
    10: 2.22813885198627,
    30: 2.04227245630124,
    59: 2.00099537808827,
    100: 1.98397151852355,
    1000: 1.96233908082641,
}


@pytest.mark.parametrize(("df", "expected"), T_975.items())
def test_t_quantiles_of_tables(df: int, expected: float) -> None:
    assert t_quantile(0.975, df) == pytest.approx(expected, rel=1e-13)


def test_t_quantiles_of_closed_forms() -> None:
    # df 1 is Cauchy: tan(π(p − ½)); df 2: (2p − 1)·√(2 / (4p(1 − p)))
    for p in (0.5, 0.6, 0.9, 0.975, 0.995, 0.9999):
        assert t_quantile(p, 1) == pytest.approx(math.tan(math.pi * (p - 0.5)), rel=1e-11)
        root = (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))
        assert t_quantile(p, 2) == pytest.approx(root, rel=1e-11)
    assert t_quantile(0.995, 7) == pytest.approx(3.49948329735049, rel=1e-12)


def test_t_approaches_the_normal_distribution() -> None:
    assert t_quantile(0.975, 200_000) == pytest.approx(1.959963984540054, abs=2e-5)


@given(st.floats(0.001, 0.999), st.integers(1, 2000))
def test_t_quantile_inverts_the_distribution(p: float, df: int) -> None:
    t = t_quantile(p, df)
    assert central_probability(abs(t), df) == pytest.approx(abs(2 * p - 1), abs=1e-13)
    assert t_quantile(1 - p, df) == pytest.approx(-t, rel=1e-9, abs=1e-12)


@given(st.floats(0.51, 0.999), st.integers(1, 500))
def test_t_quantile_falls_with_more_degrees_of_freedom(p: float, df: int) -> None:
    assert t_quantile(p, df) > t_quantile(p, df + 1)


def test_t_density_integrates_to_the_series() -> None:
    # Simpson's rule over the density, an independent road to the distribution.
    for df in (1, 2, 3, 8, 29):
        norm = math.gamma((df + 1) / 2) / math.gamma(df / 2) / math.sqrt(df * math.pi)
        x = np.linspace(0, 2, 2001)
        y = norm * (1 + x * x / df) ** (-(df + 1) / 2)
        area = (y[0] + y[-1] + 4 * y[1:-1:2].sum() + 2 * y[2:-1:2].sum()) * 0.001 / 3
        assert central_probability(2.0, df) == pytest.approx(2 * area, rel=1e-11)


@pytest.mark.parametrize(("p", "df"), [(0.0, 3), (1.0, 3), (0.5, 0), (math.nan, 3)])
def test_t_quantile_refuses(p: float, df: int) -> None:
    with pytest.raises(ValueError, match="no t quantile"):
        t_quantile(p, df)


means = st.lists(st.floats(0, 100), min_size=2, max_size=40)


@given(means, st.integers(1, 511))
def test_chunk_interval_equals_the_definition(chunk_means: list[float], size: int) -> None:
    units = units_of(range(len(chunk_means)), {})
    sizes = [size] * len(chunk_means)
    found = mean_interval([m * size for m in chunk_means], sizes, units)
    low, high = oracle.chunk_interval(chunk_means, t_quantile(0.975, len(chunk_means) - 1))
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9, abs=1e-9)
    assert found.low <= np.mean(chunk_means) + 1e-9
    assert found.high >= np.mean(chunk_means) - 1e-9


@given(
    st.lists(st.integers(0, 9), min_size=5, max_size=30),
    st.integers(1, 6),
    st.integers(0, 2**32 - 1),
)
def test_document_interval_equals_cr1_over_positions(
    owners: list[int], size: int, seed: int
) -> None:
    chunks = list(range(len(owners)))
    documents: dict[int, int | None] = dict(zip(chunks, owners, strict=True))
    units = units_of(chunks, documents)
    n_documents = len(set(owners))
    random = np.random.RandomState(seed)
    values = random.lognormal(0, 1, (len(owners), size))
    found = mean_interval(values.sum(axis=1).tolist(), [size] * len(owners), units)
    assert found is not None
    if n_documents < 5:
        assert units.kind == "chunk"
        assert units.label == "these passages only"
        clusters, df = chunks, len(chunks) - 1
    else:
        assert units.kind == "document"
        assert units.label == ""
        clusters, df = owners, n_documents - 1
    low, high = oracle.cr1_interval(
        values.ravel().tolist(), np.repeat(clusters, size).tolist(), t_quantile(0.975, df)
    )
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)
    assert found.holds(float(values.mean()))


def test_chunks_of_no_known_document_are_one_more_unit() -> None:
    documents = {0: None, 1: 0, 2: 1, 3: 2, 4: 3, 5: 4, 6: None}
    units = units_of(range(7), documents)
    assert (units.kind, units.count, units.documents) == ("document", 6, 5)
    assert units.of_chunk[0] == units.of_chunk[6]


def test_no_interval_from_one_chunk_or_an_infinite_sum() -> None:
    assert mean_interval([1.0], [3], units_of([0], {})) is None
    assert mean_interval([1.0, math.inf], [3, 3], units_of([0, 1], {})) is None
    assert mean_interval([], [], units_of([], {})) is None


def test_worked_interval_of_two_chunks() -> None:
    # means 1 and 3: sd = √2, ± 12.7062 · √2 / √2
    found = mean_interval([1.0, 3.0], [1, 1], units_of([0, 1], {}))
    assert found is not None
    assert found.low == pytest.approx(2 - T_975[1], rel=1e-12)
    assert found.high == pytest.approx(2 + T_975[1], rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.sampled_from([0, 4096]),
)
def test_bootstrap_equals_sorting_every_resample(
    n_chunks: int, size: int, seed: int, with_inf: bool, least_tail: int
) -> None:
    random = np.random.RandomState(seed)
    sizes = random.randint(1, size + 1, n_chunks)
    owner = np.repeat(np.arange(n_chunks), sizes)
    values = np.round(random.lognormal(0, 1, len(owner)), 1)
    if with_inf:
        values[random.randint(len(values))] = np.inf
    with pytest.MonkeyPatch.context() as patch:
        # With 0 hardly more is sorted than a resample needs; often it needs more.
        patch.setattr(bootstrap, "_LEAST_TAIL", least_tail)
        patch.setattr(bootstrap, "_DRAWS", 40 * n_chunks - 1)
        found = resampled_quantiles(values, owner, n_chunks, 0.99)
    assert len(found) == 2000
    draws = np.random.RandomState(bootstrap.SEED)
    wanted = []
    for _ in range(2):
        for drawn in draws.randint(0, n_chunks, size=(200, n_chunks), dtype=np.int64):
            pooled = [v for chunk in drawn for v in values[owner == chunk].tolist()]
            wanted.append(oracle.quantile(pooled, oracle.FRACTIONS["p99"]))
    assert found[:400].tolist() == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("least_tail", [0, 4096])
def test_bootstrap_finds_a_quantile_far_down_where_one_chunk_holds_the_tail(
    least_tail: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "_LEAST_TAIL", least_tail)
    owner = np.repeat(np.arange(4), 300)
    values = np.arange(1200.0)[::-1]
    found = resampled_quantiles(values, owner, 4, 0.99)
    drawn = np.random.RandomState(bootstrap.SEED).randint(0, 4, size=(200, 4), dtype=np.int64)
    wanted = [np.quantile(np.concatenate([values[owner == c] for c in row]), 0.99) for row in drawn]
    assert not all((row == 0).any() for row in drawn)
    assert found[:200].tolist() == pytest.approx(wanted, rel=1e-12)


def test_bootstrap_interval_is_reproducible_and_holds_the_estimate() -> None:
    positions = random_positions(n_chunks=20, n_depth=100)
    owner = np.repeat(np.arange(20), 100)
    first = quantile_interval(positions.kl, owner, 20)
    again = quantile_interval(positions.kl, owner, 20)
    assert first == again
    assert first is not None
    assert first.holds(float(np.quantile(positions.kl, 0.99)))
    assert first.low < first.high
    assert quantile_interval(positions.kl[:100], owner[:100], 1) is None


def test_bootstrap_with_infinities_has_an_infinite_end() -> None:
    values = np.ones(40)
    values[:4] = np.inf
    found = quantile_interval(values, np.repeat(np.arange(4), 10), 4)
    assert found is not None
    assert found.high == math.inf


def test_paired_interval_is_narrower_than_the_settings_own() -> None:
    # Both settings see the same hard chunks; only a little lies between them.
    a = random_positions(n_chunks=20, scale=0.01, seed=5)
    columns = {name: getattr(a, name) for name in a.__dataclass_fields__}
    b = type(a)(**{**columns, "kl": a.kl + 1e-4 * (1 + a.chunk % 2)})
    sums_a, sums_b = summarize(a).per_chunk, summarize(b).per_chunk
    pair = paired_difference(sums_b, sums_a, {})
    assert pair.mean == pytest.approx(1.5e-4, rel=1e-9)
    assert pair.told_apart is True
    own = mean_interval(sums_a.kl, sums_a.sizes, units_of(sums_a.chunks, {}))
    assert own is not None
    assert own.holds(summarize(b).kl.mean)


@given(st.integers(0, 2**31), st.integers(1, 12))
def test_paired_difference_is_antisymmetric(seed: int, n_chunks: int) -> None:
    a = summarize(random_positions(n_chunks=n_chunks, seed=seed)).per_chunk
    b = summarize(random_positions(n_chunks=n_chunks, seed=seed + 1)).per_chunk
    one, other = paired_difference(a, b, {}), paired_difference(b, a, {})
    assert one.mean is not None
    assert other.mean == pytest.approx(-one.mean, rel=1e-12)
    assert one.told_apart == other.told_apart
    if n_chunks == 1:
        assert one.told_apart is None
    same = paired_difference(a, a, {})
    assert same.mean == 0.0
    assert same.told_apart is (None if n_chunks == 1 else False)


def test_pairs_use_the_common_chunks_only() -> None:
    a = summarize(random_positions(chunks=[0, 1, 2, 5], seed=1)).per_chunk
    b = summarize(random_positions(chunks=[1, 2, 7], seed=2)).per_chunk
    pair = paired_difference(a, b, {})
    assert pair.n_chunks == 2
    assert pair.mean == pytest.approx((a.kl[1] + a.kl[2] - b.kl[0] - b.kl[1]) / 30, rel=1e-12)
    nothing = paired_difference(a, summarize(random_positions(chunks=[9])).per_chunk, {})
    assert (nothing.mean, nothing.interval, nothing.n_chunks) == (None, None, 0)


def test_an_infinite_kl_leaves_no_difference() -> None:
    a = random_positions(seed=1)
    columns = {name: getattr(a, name) for name in a.__dataclass_fields__}
    kl = a.kl.copy()
    kl[3] = np.inf
    b = summarize(type(a)(**{**columns, "kl": kl})).per_chunk
    pair = paired_difference(summarize(a).per_chunk, b, {})
    assert (pair.mean, pair.told_apart) == (None, None)
    both = paired_difference(b, b, {})
    assert (both.mean, both.told_apart) == (None, None)
