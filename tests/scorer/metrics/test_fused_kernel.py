"""The fused kernel's arithmetic against the oracle: compiled for the host, and transcribed."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fused_kernel_numpy import fused
from host_compiler import SOURCES, host_library
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from oracle_drift import score_rows

import scorer.metrics.fused_kernel

Array = NDArray[np.float32]
Scalars = dict[str, NDArray[Any]]
Way = Callable[..., Scalars]
FLOATS = ("kl", "nll_ref", "nll_quant", "top_ref_logprob", "top_quant_logprob")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return host_library("fused_host.cpp", tmp_path_factory.mktemp("fused"))


def compiled(library: ctypes.CDLL, shift: int = 0) -> Way:
    """The template itself; ``shift`` columns come before the first whole vector."""

    def run(p: Array, q: Array, targets: NDArray[Any], threads: int) -> Scalars:
        count, columns = p.shape
        values = np.zeros((count, 7), np.float32)
        tops = np.zeros((count, 2), np.int32)

        def call(mode: int, known: tuple[Array, NDArray[np.int32]]) -> None:
            held = [
                np.ascontiguousarray(x)
                for x in (p, q, targets.astype(np.int32), *(x.copy() for x in known), values, tops)
            ]
            held[-2:] = [values, tops]
            library.fused_rows(
                mode,
                count,
                columns,
                threads,
                shift,
                *(ctypes.c_void_p(x.ctypes.data) for x in held),
            )

        call(0, (values, tops))
        call(1, (values, tops))
        return {
            "kl": values[:, 0],
            "nll_ref": -values[:, 3],
            "nll_quant": -values[:, 6],
            "top_ref": tops[:, 0],
            "top_ref_logprob": -values[:, 2],
            "top_quant": tops[:, 1],
            "top_quant_logprob": -values[:, 5],
        }

    return run


def transcribed(p: Array, q: Array, targets: NDArray[Any], threads: int) -> Scalars:
    return fused(p, q, targets, threads)


@pytest.fixture(params=["template", "template, shifted", "transcription"])
def way(request: pytest.FixtureRequest) -> Way:
    if request.param == "transcription":
        return transcribed
    library = request.getfixturevalue("library")
    return compiled(library, shift=5 if "shifted" in request.param else 0)


def check(way: Way, p: Array, q: Array, targets: NDArray[Any], threads: int = 64) -> None:
    expected = score_rows(p, q, targets)
    got = way(p, q, targets, threads)
    for name in FLOATS:
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-5, atol=1e-5, err_msg=name)
    for name in ("top_ref", "top_quant"):
        np.testing.assert_array_equal(got[name], expected[name], name)


def normal(seed: int, count: int, columns: int, drift: float) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    p = (4 * rng.standard_normal((count, columns))).astype(np.float32)
    return p, (p + drift * rng.standard_normal(p.shape)).astype(np.float32)


@pytest.mark.parametrize("columns", [2, 3, 7, 8, 9, 63, 511, 512, 513, 4099, 49_152])
@pytest.mark.parametrize("drift", [1e-2, 3.0])
def test_rows_of_any_length(way: Way, columns: int, drift: float) -> None:
    p, q = normal(columns, 3, columns, drift)
    check(way, p, q, np.array([0, columns // 2, columns - 1]))


def test_the_longest_vocabulary(way: Way) -> None:
    p, q = normal(0, 2, 262_144, 0.1)
    check(way, p, q, np.array([5, 262_143]), threads=256)


def adversarial(columns: int) -> tuple[Array, Array]:
    """Every kind of row against every kind."""
    rng = np.random.default_rng(columns)
    hot = np.zeros(columns)
    hot[columns // 3] = 1e4
    cold = np.zeros(columns)
    cold[0] = -1e4
    kinds = [
        np.zeros(columns),
        np.full(columns, 1e4),
        np.full(columns, -1e4),
        np.full(columns, 1 / 3),
        hot,
        -hot,
        hot - 1e4,
        cold,
        np.linspace(-1e4, 1e4, columns),
        np.linspace(1e4, -1e4, columns),
        np.linspace(-20, 20, columns),
        rng.uniform(-1e4, 1e4, columns),
        rng.standard_normal(columns),
        rng.standard_normal(columns) + 1e4,
        np.repeat([3.0, -3.0], (columns + 1) // 2)[:columns],
    ]
    rows = np.array(kinds, np.float32)
    return np.repeat(rows, len(rows), axis=0), np.tile(rows, (len(rows), 1))


@pytest.mark.parametrize("columns", [2, 17, 1031])
def test_adversarial_rows(way: Way, columns: int) -> None:
    p, q = adversarial(columns)
    check(way, p, q, np.arange(len(p)) % columns)


@given(
    pair=arrays(np.float32, (2, 3, 11), elements=st.floats(-1e4, 1e4, width=32)),
    target=st.integers(0, 10),
)
def test_any_finite_logits(pair: Array, target: int) -> None:
    check(transcribed, pair[0], pair[1], np.full(3, target), threads=32)


@pytest.mark.parametrize("columns", [9, 1031])
def test_minus_infinity_and_nan(way: Way, columns: int) -> None:
    p, q = normal(1, 8, columns, 0.1)
    p[1, 4] = q[1, 4] = -np.inf  # ruled out by both
    p[2, 4] = -np.inf
    q[3, 4] = -np.inf  # by the candidate alone
    q[4, :] = q[4, :] - 1e4
    p[5, 4], q[5, 4] = -2000, -np.inf  # e^-2000 is 0, also in float64
    p[6, 3] = np.nan
    q[7, 3] = np.nan
    p[7, 4], q[7, 4] = 5, -np.inf
    targets = np.full(8, columns - 1)
    expected = score_rows(p[:6], q[:6], targets[:6])
    got = way(p, q, targets, 64)
    np.testing.assert_allclose(got["kl"][:6], expected["kl"], rtol=1e-5, atol=1e-5)
    assert got["kl"][3] == np.inf
    assert np.isnan(got["kl"][6:]).all()
    assert np.isnan(got["nll_ref"][6])
    assert np.isnan(got["nll_quant"][7])
    assert np.isfinite(got["nll_quant"][:6]).all()


def test_rows_without_anything_finite_give_nan(way: Way) -> None:
    p, q = normal(2, 3, 40, 0.1)
    q[0] = -np.inf
    p[1] = -np.inf
    q[2, 7] = np.inf
    assert np.isnan(way(p, q, np.zeros(3, int), 32)["kl"]).all()


def test_the_reference_tops_token_ruled_out_by_the_candidate(way: Way) -> None:
    p, q = normal(3, 4, 700, 0.1)
    rows = np.arange(4)
    q[rows, p.argmax(axis=1)] = -np.inf
    got = way(p, q, np.zeros(4, int), 64)
    assert (got["kl"] == np.inf).all()
    np.testing.assert_array_equal(got["top_quant"], q.argmax(axis=1))


@pytest.mark.parametrize("columns", [5, 2000])
def test_ties_go_to_the_lowest_index(way: Way, columns: int) -> None:
    rng = np.random.default_rng(4)
    p = rng.integers(0, 3, (6, columns)).astype(np.float32)
    q = rng.integers(0, 3, (6, columns)).astype(np.float32)
    check(way, p, q, np.zeros(6, int))


@pytest.mark.parametrize("columns", [6, 3001])
def test_equal_rows_give_exactly_zero(way: Way, columns: int) -> None:
    p, _ = normal(5, 4, columns, 0)
    assert (way(p, p.copy(), np.zeros(4, int), 64)["kl"] == 0).all()


def test_the_transcription_is_the_template(library: ctypes.CDLL) -> None:
    p, q = normal(6, 5, 3000, 0.3)
    targets = np.arange(5)
    a = compiled(library)(p, q, targets, 64)
    b = transcribed(p, q, targets, 64)
    for name in FLOATS:
        np.testing.assert_allclose(a[name], b[name], rtol=2e-6, atol=5e-7, err_msg=name)


@pytest.mark.parametrize("shell", ["cuda", "metal"])
def test_the_shells_hold_the_one_template(shell: Any) -> None:
    header = scorer.metrics.fused_kernel.header_source(shell)
    body = scorer.metrics.fused_kernel.body_source(shell)
    assert header.count((SOURCES[0] / "arithmetic.h").read_text()) == 1
    assert body.count((SOURCES[0] / "finish.h").read_text()) == 1
    own = (SOURCES[0] / f"{shell}_header.h").read_text()
    for macro in ("QFID_INLINE", "QFID_EXP", "QFID_LOG", "QFID_MAX", "QFID_MIN", "QFID_WIDTH 8"):
        assert f"#define {macro}" in own
    # The shells read and merge; what the numbers are is said once.
    rows = (SOURCES[0] / f"{shell}_rows.h").read_text()
    assert "EXP" not in rows + own.replace("#define QFID_EXP", "").replace("QFID_EXP(x)", "")
    for call in ("qfid_absorb<QFID_WIDTH>", "qfid_absorb<1>", "qfid_absorb_row<1>", "qfid_merge("):
        assert call in rows
    for text in (header, body):
        assert text.count("{") == text.count("}")
        assert text.count("(") == text.count(")")


def test_both_shells_merge_and_finish_alike() -> None:
    def end(shell: str) -> list[str]:
        text = (SOURCES[0] / f"{shell}_rows.h").read_text()
        text = text[text.index("offset = 16") :]
        for here, there in (
            ("warp", "group"),
            ("thread ", "index "),
            ("__syncthreads()", "sync()"),
        ):
            text = text.replace(here, there)
        return text.replace(
            "threadgroup_barrier(metal::mem_flags::mem_threadgroup)", "sync()"
        ).split()

    assert end("cuda")[1:] == end("metal")[1:]
