"""Two positions over three tokens, every statistic worked out by hand.

The distributions (target of both positions: token 0):

    position 0   p = (5/8, 1/4, 1/8)        q = (1/4, 5/8, 1/8)
    position 1   p = (1/16, 1/8, 13/16)     q = (1/8, 1/8, 3/4)

KL
    0:  5/8 ln(5/8 ÷ 1/4) + 1/4 ln(1/4 ÷ 5/8) + 0 = (5/8 − 1/4) ln(5/2) = 3/8 ln(5/2)
        = 0.375 · 0.9162907318741551 = 0.3436090244528082
    1:  1/16 ln(1/2) + 0 + 13/16 ln(13/12)
        = −0.0433216987849966 + 0.8125 · 0.0800427076735364 = 0.0217130011997517
    mean (0.3436090244528082 + 0.0217130011997517) / 2 = 0.18266101282628
    quantile f of two values lies at index (2 − 1)·f: low + f · (high − low), and
    high − low = 0.3218960232530565

NLL of the target, token 0
    reference   ln(8/5), ln 16        mean ½ ln(128/5)    perplexity √25.6 = 5.059644256269407
    quantized   ln 4,    ln 8         mean ½ ln 32        perplexity √32   = 5.656854249492381
    delta 0.597209993222974, ratio √(32/25.6) = √1.25 = 1.118033988749895, ln ½ ln 1.25
    two points that rise together: correlation 1

flips      argmax 0 → 1 flips, 2 → 2 does not: 1 of 2
Δp         1/4 − 5/8 = −37.5 %, 1/8 − 1/16 = +6.25 %: mean −15.625 %,
           RMS √((1406.25 + 39.0625) / 2) = √722.65625, quantile f: −37.5 + 43.75·f
depth      2 positions make 2 spans of one each
confidence the reference's top probabilities are 0.625 and 0.8125
verdict    KL mean 0.183 > 0.1 and flips 0.5 > 0.05: bad; p99 0.34 ≤ 1 does not hold it
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from report_builders import built, make_facts, scored

from scorer.metrics.definition import Reference
from scorer.spec.job import Job
from scorer.spec.settings.kv import KVSetting
from scorer.stats.positions import Positions

P = [[5 / 8, 1 / 4, 1 / 8], [1 / 16, 1 / 8, 13 / 16]]
Q = [[1 / 4, 5 / 8, 1 / 8], [1 / 8, 1 / 8, 3 / 4]]

KL = (0.3436090244528082, 0.0217130011997517)
NLL_REF = (0.4700036292457356, 2.772588722239781)
NLL_QUANT = (1.3862943611198906, 2.0794415416798357)

KL_QUANTILES = {
    "max": 0.3436090244528082,
    "p99.9": 0.3432871284295551,
    "p99": 0.3403900642202776,
    "p95": 0.3275142232901554,
    "p90": 0.3114194221275026,
    "median": 0.18266101282628,
    "p10": 0.0539026035250574,
    "p5": 0.0378078023624045,
    "p1": 0.0249319614322823,
    "min": 0.0217130011997517,
}
DELTA_P = {
    "mean": -15.625,
    "rms": math.sqrt(722.65625),
    "max": 6.25,
    "p99.9": 6.20625,
    "p99": 5.8125,
    "p95": 4.0625,
    "p90": 1.875,
    "p75": -4.6875,
    "median": -15.625,
    "p25": -26.5625,
    "p10": -33.125,
    "p5": -35.3125,
    "p1": -37.0625,
    "p0.1": -37.45625,
    "min": -37.5,
}


def positions(chunk: tuple[int, int] = (0, 0), position: tuple[int, int] = (0, 1)) -> Positions:
    """The two positions, from the scalars worked out above."""
    return Positions(
        chunk=np.array(chunk, np.int32),
        position=np.array(position, np.int32),
        token=np.zeros(2, np.int32),
        kl=np.array(KL),
        nll_ref=np.array(NLL_REF),
        nll_quant=np.array(NLL_QUANT),
        top_ref=np.array([0, 2], np.int32),
        top_ref_logprob=np.log([5 / 8, 13 / 16]),
        top_quant=np.array([1, 2], np.int32),
        top_quant_logprob=np.log([5 / 8, 3 / 4]),
    )


def report_of(found: Positions, n_chunks: int, chunk_length: int) -> dict[str, Any]:
    facts = make_facts(
        "4",
        n_chunks=n_chunks,
        chunk_length=chunk_length,
        job=Job("local-test/SmolLM2", (KVSetting(4, 4),), chunk_length=chunk_length),
    )
    return built(facts, [scored("4", found)])


@pytest.mark.parametrize("plain", [True, False])
def test_logits_to_scalars(plain: bool) -> None:
    # Logits are log-probabilities up to a constant a row; it must not matter.
    reference = np.log(P) + np.array([[3.0], [-7.0]])
    quantized = np.log(Q) + np.array([[-1.0], [20.0]])
    targets = np.zeros(2, np.int64)
    found = Reference(reference.astype(np.float32), targets, plain=plain).compare(
        quantized.astype(np.float32)
    )
    # float32 logits of this size are rounded to half of 2⁻¹⁹.
    np.testing.assert_allclose(found.kl, KL, atol=2e-6)
    np.testing.assert_allclose(found.nll_ref, NLL_REF, atol=2e-6)
    np.testing.assert_allclose(found.nll_quant, NLL_QUANT, atol=2e-6)
    np.testing.assert_allclose(np.exp(found.top_ref_logprob), [5 / 8, 13 / 16], atol=2e-6)
    np.testing.assert_allclose(np.exp(found.top_quant_logprob), [5 / 8, 3 / 4], atol=2e-6)
    assert found.top_ref.tolist() == [0, 2]
    assert found.top_quant.tolist() == [1, 2]


def test_one_chunk() -> None:
    report = report_of(positions(), n_chunks=1, chunk_length=3)
    row = report["settings"][0]
    assert row["n_positions"] == 2
    assert row["kl"] == pytest.approx(
        {
            "mean": 0.18266101282628,
            "median": 0.18266101282628,
            "p99": KL_QUANTILES["p99"],
            "max": KL[0],
        },
        rel=1e-12,
    )
    assert row["kl_quantiles"] == pytest.approx(KL_QUANTILES, rel=1e-12)
    assert row["flip_rate"] == 0.5
    assert row["same_top_token"] == 0.5
    assert row["perplexity_ref"] == pytest.approx(5.059644256269407, rel=1e-12)
    assert row["perplexity_quant"] == pytest.approx(5.656854249492381, rel=1e-12)
    assert row["perplexity_delta"] == pytest.approx(0.597209993222974, rel=1e-12)
    assert row["perplexity_ratio"] == pytest.approx(1.118033988749895, rel=1e-12)
    assert row["ln_perplexity_ratio"] == pytest.approx(0.5 * math.log(1.25), rel=1e-12)
    assert row["nll_correlation"] == pytest.approx(1.0, rel=1e-12)
    assert row["delta_p"] == pytest.approx(DELTA_P, rel=1e-12)
    spans = [(s["start"], s["end"], s["n_positions"]) for s in row["kl_by_depth"]]
    assert spans == [(0, 1, 1), (1, 2, 1)]
    assert [s["kl_mean"] for s in row["kl_by_depth"]] == pytest.approx(KL, rel=1e-12)
    assert [s["kl_p99"] for s in row["kl_by_depth"]] == pytest.approx(KL, rel=1e-12)
    empty = (None, None, 0)
    buckets = [(b["kl_mean"], b["flip_rate"], b["n_positions"]) for b in row["by_confidence"]]
    assert buckets == [empty, empty, (KL[0], 1.0, 1), (KL[1], 0.0, 1), empty]
    assert row["verdict"] == "bad"
    assert [(h["metric"], h["tier"], h["threshold"]) for h in row["verdict_held_by"]] == [
        ("kl_mean", "marginal", 0.1),
        ("flip_rate", "marginal", 0.05),
    ]
    ends = row["intervals"]
    names = ("kl_mean", "kl_p99", "flip_rate", "perplexity_delta", "perplexity_ratio")
    assert [ends[name] for name in names] == [None] * 5
    assert ends["note"] == "1 chunk gives no interval"
    assert row["verdict_shown"] == "bad?"
    assert {lack["why"] for lack in row["verdict_without_interval"]} == {"one chunk"}


def test_a_chunk_each() -> None:
    """The same positions as two chunks of one position: what intervals are made of.

    With m = 2 the sample standard deviation is |x₁ − x₂|/√2, its mean's |x₁ − x₂|/2, and
    t(0.975, 1) = tan(0.475 π) = 12.706204736174694.
        KL mean    0.18266101282628 ± 12.7062047361747 · 0.1609480116265283, but not below 0
        flips      error 0.5, of independent positions √(½·½/2) = √⅛: design effect ¼ ÷ ⅛ = 2, so
                   both are worth 1; Wilson with p = ½ and n = 1 is ½ ± t ÷ 2√(1 + t²)
        ln ratio   ½ ln 1.25 ± 12.7062047361747 · ½ (ln 2.5 − ln ½)   (the differences of the
                   NLLs are ln 4 − ln 8/5 = ln 2.5 and ln 8 − ln 16 = ln ½), but not below
                   −½ ln 25.6, where the quantized perplexity is 1
    Two positions are too few for an interval of p99.
    """
    report = report_of(positions((0, 1), (0, 0)), n_chunks=2, chunk_length=2)
    row = report["settings"][0]
    ends = row["intervals"]
    t = math.tan(0.475 * math.pi)
    assert t == pytest.approx(12.706204736174694, rel=1e-12)
    wilson = t / 2 / math.sqrt(1 + t * t)
    for name, low, high in (
        ("kl_mean", 0.0, 0.18266101282628 + t * 0.1609480116265283),
        ("flip_rate", 0.5 - wilson, 0.5 + wilson),
        (
            "ln_perplexity_ratio",
            -0.5 * math.log(25.6),
            0.5 * math.log(1.25) + t * 0.5 * math.log(5),
        ),
    ):
        assert ends[name] == pytest.approx({"low": low, "high": high}, rel=1e-9)
    high = math.exp(ends["ln_perplexity_ratio"]["high"])
    assert ends["perplexity_ratio"]["high"] == pytest.approx(high, rel=1e-12)
    assert ends["perplexity_delta"]["high"] == pytest.approx(
        5.059644256269407 * (high - 1), rel=1e-12
    )
    assert ends["kl_p99"] is None
    assert row["verdict_without_interval"] == [{"metric": "kl_p99", "why": "few positions"}]
    assert (ends["unit"], ends["n_units"], ends["label"]) == ("chunk", 2, "these passages only")
    assert ends["note"] == "intervals from 2 chunks are rough"
    assert row["kl_mean_per_chunk"] == pytest.approx(KL, rel=1e-12)
    assert row["flips_per_chunk"] == [1, 0]
    assert row["verdict_shown"] == "bad?"
