"""The frontier, its ties and the recommendation."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_builders import bytes_per_token

from scorer.report.formats.open_verdict import settling
from scorer.report.ranking import Candidate, beaten_by, frontiers
from scorer.report.recommendation import recommend
from scorer.report.tree import Frontier, OpenSetting, Recommendation
from scorer.spec.job import Job
from scorer.spec.settings.kv import KVSetting
from scorer.spec.thresholds import KV, TIERS, Metric, Verdict
from scorer.stats.intervals import Interval
from scorer.stats.pairs import PairedDifference
from scorer.stats.verdict import MissingInterval, OpenBound, tier_rank, verdict_of

FULL = 23040.0


def candidate(
    name: str, kl_mean: float, verdict: Verdict | None = None, **changes: Any
) -> Candidate:
    setting = KVSetting.parse(name)
    values: dict[str, Any] = {
        "cost": bytes_per_token(setting),
        "verdict": verdict or verdict_of(kl_mean, kl_mean, 0.0, KV),
        "is_open": False,
        "runnable": setting.k_bits == setting.v_bits,
    }
    return Candidate(setting=setting, kl_mean=kl_mean, **{**values, **changes})


def pair(difference: float, apart: bool) -> PairedDifference:
    half = abs(difference) / 2 if apart else abs(difference) + 1
    return PairedDifference(difference, Interval(difference - half, difference + half), "chunk", 8)


def all_apart(candidates: list[Candidate]) -> dict[tuple[str, str], PairedDifference]:
    return {
        (a.name, b.name): pair(a.kl_mean - b.kl_mean, apart=True)
        for a, b in itertools.combinations(candidates, 2)
    }


def job(candidates: list[Candidate], model: str = "org/model") -> Job:
    return Job(model, tuple(c.setting for c in candidates))


def recommended(candidates: list[Candidate], pairs: Any = None) -> Recommendation:
    pairs = all_apart(candidates) if pairs is None else pairs
    found = recommend(candidates, pairs, FULL, job(candidates))
    assert found is not None
    return found


def test_cheapest_good_with_its_command() -> None:
    found = recommended([candidate("8", 0.0003), candidate("6", 0.005), candidate("4", 0.2)])
    assert (found.setting, found.verdict, found.tied_with) == ("6", "good", ())
    assert found.sentences == (
        "`6` is the cheapest good setting scored: 40.6 % of the 16-bit KV cache",
    )
    assert found.command == (
        "mlx_lm.generate --model org/model --kv-bits 6 --kv-group-size 64 "
        "--quantized-kv-start 0 --prompt …"
    )
    assert found.mlx_lm is None


def test_none_good_names_the_best_and_its_tier() -> None:
    found = recommended([candidate("4", 0.2), candidate("6", 0.05), candidate("2", 3.0)])
    assert found.setting == "6"
    assert found.sentences == (
        "No setting scored is good; the best is `6` (marginal): 40.6 % of the 16-bit KV cache",
    )


def test_cheapest_good_that_mlx_lm_cannot_run_gets_a_second_sentence() -> None:
    found = recommended([candidate("8", 0.0003), candidate("k8v4", 0.004), candidate("4", 0.2)])
    assert (found.setting, found.command) == ("k8v4", None)
    assert found.sentences[1] == (
        "mlx-lm cannot run `k8v4`; the cheapest good setting it runs is `8` (good)"
    )
    assert found.mlx_lm is not None and found.mlx_lm.setting == "8"
    assert "--kv-bits 8" in (found.mlx_lm.command or "")


def test_best_that_mlx_lm_runs_where_none_of_those_is_good() -> None:
    found = recommended([candidate("k8v4", 0.004), candidate("4", 0.05)])
    assert found.sentences[1] == "mlx-lm cannot run `k8v4`; the best it runs is `4` (marginal)"


def test_mlx_lm_runs_nothing() -> None:
    found = recommended([candidate("k8v4", 0.004)])
    assert found.sentences[1] == "mlx-lm runs none of the settings scored on this model"
    assert (found.command, found.mlx_lm) == (None, None)


def test_ties_of_equal_cost_are_named() -> None:
    # k8v4 and k4v8 hold the same bytes.
    settings = [candidate("k8v4", 0.004), candidate("k4v8", 0.0041)]
    one = {("k8v4", "k4v8"): pair(-0.0001, apart=False)}
    found = recommended(settings, one)
    assert (found.setting, found.tied_with) == ("k8v4", ("k4v8",))
    assert found.sentences[1] == "`k4v8` costs the same"
    apart = {("k8v4", "k4v8"): pair(-0.0001, apart=True)}
    assert recommended(settings, apart).tied_with == ()


def test_best_of_none_good_is_the_cheapest_that_cannot_be_told_apart() -> None:
    settings = [candidate("8", 0.030), candidate("6", 0.031)]
    found = recommended(settings, {("8", "6"): pair(-0.001, apart=False)})
    assert (found.setting, found.tied_with) == ("6", ("8",))
    assert found.sentences[1] == "`8` cannot be told apart from it on this text"


def test_without_an_interval_nothing_is_tied() -> None:
    settings = [candidate("8", 0.030), candidate("6", 0.090)]
    unknown = {("8", "6"): PairedDifference(-0.06, None, "chunk", 1)}
    found = recommended(settings, unknown)
    assert (found.setting, found.tied_with) == ("8", ())
    assert frontiers(settings, unknown)[0].tied == ()


def test_infinite_drift_is_not_the_best_because_it_is_cheap() -> None:
    settings = [candidate("8", 0.2), candidate("2", math.inf)]
    endless = {("8", "2"): PairedDifference(None, None, "chunk", 8)}
    assert recommended(settings, endless).setting == "8"


def test_an_open_verdict_is_said_with_what_would_settle_it() -> None:
    found = recommended([candidate("8", 0.009, is_open=True, settling="about 14 would do")])
    assert (found.setting, found.verdict_shown) == ("8", "good?")
    assert found.sentences == (
        "No setting scored is settled as good; the best is `8` (good?): 53.1 % of the 16-bit KV "
        "cache",
        "This verdict is open: about 14 would do",
    )
    assert found.cheaper_open is None


def test_a_cheaper_open_setting_stands_beside_the_settled_one() -> None:
    five = candidate("5", 0.009, is_open=True, more_chunks=14, settling="about 14 would do")
    four = candidate("4", 0.0095, is_open=True, more_chunks=90, settling="about 90 would do")
    found = recommended([candidate("8", 0.0003), candidate("6", 0.005), five, four])
    assert (found.setting, found.verdict_shown) == ("6", "good")
    assert "--kv-bits 6" in (found.command or "")
    assert found.sentences == (
        "`6` is the cheapest good setting scored whose verdict is settled: 40.6 % of the 16-bit "
        "KV cache",
        "`4` (good?) is cheaper and open: about 90 would do",
    )
    assert found.cheaper_open == OpenSetting(
        setting="4",
        verdict="good",
        verdict_shown="good?",
        kv_bytes_share=6480 / FULL,
        more_chunks=90,
        settling="about 90 would do",
    )


def test_an_open_setting_that_costs_more_is_no_alternative() -> None:
    found = recommended([candidate("8", 0.0003, is_open=True), candidate("6", 0.005)])
    assert (found.setting, found.cheaper_open) == ("6", None)


def test_where_no_good_one_is_settled_the_best_stands_with_the_cheapest_open_one() -> None:
    found = recommended([candidate("8", 0.0003, is_open=True), candidate("6", 0.005, is_open=True)])
    assert found.setting == "8" and found.sentences[0].startswith("No setting scored is settled")
    assert found.cheaper_open is not None and found.cheaper_open.setting == "6"


def test_a_worse_tier_that_is_open_is_no_alternative() -> None:
    found = recommended([candidate("8", 0.0003), candidate("6", 0.02, is_open=True)])
    assert (found.setting, found.cheaper_open) == ("8", None)


def test_settings_of_other_starts_and_paths_are_named_and_not_ranked() -> None:
    settings = [
        candidate("4~dequantized", 0.001),
        candidate("2@508", 0.0, runnable=True),
        candidate("4@508", 0.0),
        candidate("8", 0.02),
    ]
    found = recommended(settings)
    assert found.setting == "8"
    assert found.sentences == (
        "No setting scored is good; the best is `8` (marginal): 53.1 % of the 16-bit KV cache",
        "`4~dequantized` is not ranked with it: dequantized path, not deployed",
        "`2@508`, `4@508` are not ranked with it: first 508 tokens at full precision, not 0",
    )
    assert [left.settings for left in found.left_out] == [("4~dequantized",), ("2@508", "4@508")]


def test_deployment_alone_is_ranked() -> None:
    found = recommended([candidate("8@508", 0.0003), candidate("6@508", 0.005)])
    assert (found.setting, found.left_out) == ("6@508", ())


@pytest.mark.parametrize("runnable", [True, False])
def test_figures_of_the_dequantized_path_give_no_command(runnable: bool) -> None:
    settings = [candidate("8~dequantized", 0.0003), candidate("k8v4~dequantized", 0.2)]
    found = recommended([dataclasses.replace(c, runnable=runnable) for c in settings])
    assert (found.setting, found.command, found.mlx_lm) == ("8~dequantized", None, None)
    assert found.sentences[1] == (
        "`8~dequantized` is the quantizer alone, which mlx-lm does not compute: score `8` before "
        "it is used"
    )


def test_what_no_number_of_chunks_settles_is_said_first() -> None:
    def bound(metric: Metric, more: int | None, noisy: bool = False) -> OpenBound:
        return OpenBound(metric, "good", 0.01, 0.009, Interval(0.0, 0.02), more, noisy)

    twelve, ninety = bound("kl_mean", 12), bound("flip_rate", 90)
    assert settling([], [], 500, 595) == ""
    assert settling([twelve, ninety], [], 500, None) == "about 90 more chunks would settle it"
    assert settling([twelve, ninety], [], 506, 595) == (
        "about 90 more chunks would settle it, more than the 595 of this text leave"
    )
    assert settling([ninety, bound("kl_p99", None)], [], 5, 595).startswith("no number of chunks")
    noisy = [bound("kl_p99", None), bound("kl_mean", None, True)]
    assert settling(noisy, [], 5, 595).startswith("that is within the noise floor")
    lacking = [MissingInterval("kl_mean", "one chunk"), MissingInterval("kl_p99", "one chunk")]
    assert settling([ninety], lacking, 5, 595) == "one chunk gives no interval"


def test_nothing_scored() -> None:
    assert recommend([], {}, FULL, Job("demo", (KVSetting(8, 8),))) is None


def test_demo_has_no_command_of_mlx_lm() -> None:
    settings = [candidate("8", 0.001)]
    found = recommend(settings, {}, FULL, job(settings, "demo"))
    assert found is not None and found.command is None


def frontier(start: int, path: str, *settings: str) -> Frontier:
    return Frontier(quantize_start=start, path=path, settings=settings, tied=())


def test_frontier_by_hand() -> None:
    settings = [
        candidate("8", 0.001),
        candidate("6", 0.01),
        candidate("k16v4", 0.02),  # 14 760 B: dearer and worse than 8
        candidate("4", 0.2),
        candidate("4@64", 0.1),
        candidate("8~dequantized", 0.0009),
    ]
    pairs = all_apart(settings)
    # The cheapest of those that beat it.
    assert beaten_by(settings, pairs) == {"k16v4": "6"}
    assert frontiers(settings, pairs) == [
        frontier(0, "deployed", "4", "6", "8"),
        frontier(64, "deployed", "4@64"),
        frontier(0, "dequantized", "8~dequantized"),
    ]


def test_neighbours_that_cannot_be_told_apart_are_tied() -> None:
    settings = [candidate("8", 0.001), candidate("6", 0.0011), candidate("4", 0.2)]
    pairs = all_apart(settings) | {("8", "6"): pair(-0.0001, apart=False)}
    (found,) = frontiers(settings, pairs)
    assert found.settings == ("4", "6", "8")
    assert found.tied == (("6", "8"),)


NAMES = ("8", "6", "4", "2", "4:32", "k8v4", "k4v8", "k16v4", "8@64", "4@64", "4~dequantized")
KL = st.floats(0, 2) | st.sampled_from([0.01, 0.1, math.inf, math.nan])


@st.composite
def scored_settings(draw: st.DrawFn) -> tuple[list[Candidate], dict[Any, PairedDifference]]:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    found = [
        candidate(
            name,
            draw(KL),
            draw(st.sampled_from((*TIERS, None, None))),
            is_open=draw(st.booleans()),
            runnable=draw(st.booleans()),
        )
        for name in names
    ]
    # A NaN passes no threshold.
    found = [candidate(c.name, c.kl_mean, "bad") if math.isnan(c.kl_mean) else c for c in found]
    pairs = {}
    for a, b in itertools.combinations(found, 2):
        if not a.key.differences(b.key) and draw(st.integers(0, 9)):
            difference = a.kl_mean - b.kl_mean
            known = math.isfinite(difference)
            pairs[a.name, b.name] = (
                pair(difference, apart=bool(difference) and draw(st.booleans()))
                if known
                else PairedDifference(None, None, "chunk", 8)
            )
    return found, pairs


@given(scored_settings())
def test_no_member_of_a_frontier_is_dominated(case: Any) -> None:
    candidates, pairs = case
    by_name = {c.name: c for c in candidates}
    beaten = beaten_by(candidates, pairs)
    members = [name for f in frontiers(candidates, pairs) for name in f.settings]
    assert sorted([*members, *beaten]) == sorted(
        c.name for c in candidates if not math.isnan(c.kl_mean)
    )
    for frontier in frontiers(candidates, pairs):
        on_it = [by_name[name] for name in frontier.settings]
        for a, b in itertools.permutations(on_it, 2):
            # Fewer bytes and no more KL would beat; equal bytes only where told apart.
            assert not (a.cost < b.cost and a.kl_mean <= b.kl_mean)
        assert [c.cost for c in on_it] == sorted(c.cost for c in on_it)
    for loser, winner in beaten.items():
        a, b = by_name[winner], by_name[loser]
        assert not a.key.differences(b.key) and a.cost <= b.cost and a.kl_mean <= b.kl_mean
        assert (
            a.cost < b.cost or pairs.get((a.name, b.name), pairs.get((b.name, a.name))).told_apart
        )


@given(scored_settings())
def test_the_recommendation_is_never_worse_than_it_could_be(case: Any) -> None:
    candidates, pairs = case
    by_name = {c.name: c for c in candidates}
    found = recommend(candidates, pairs, FULL, job(candidates))
    candidates = [c for c in candidates if not math.isnan(c.kl_mean)]
    if not candidates:
        assert found is None
        return
    assert found is not None
    pick = by_name[found.setting]
    assert not math.isnan(pick.kl_mean)
    groups = {(c.setting.path != "deployed", c.setting.start) for c in candidates}
    assert (pick.setting.path != "deployed", pick.setting.start) == min(groups)
    apart = [c.name for c in candidates if c.key.differences(pick.key)]
    assert sorted(apart) == sorted(name for left in found.left_out for name in left.settings)
    candidates = [c for c in candidates if c.name not in apart]
    if math.isinf(pick.kl_mean) and pick.verdict != "good":
        assert all(math.isinf(c.kl_mean) for c in candidates if c.verdict == pick.verdict)
    best = max(tier_rank(c.verdict) for c in candidates)
    assert tier_rank(pick.verdict) == best
    good = [c for c in candidates if c.verdict == "good"]
    settled = [c.cost for c in good if not c.is_open]
    if settled:
        assert not pick.is_open and pick.cost == min(settled)
    cheaper = [c.cost for c in good if c.is_open and c.cost < pick.cost]
    assert (found.cheaper_open is None) == (not cheaper)
    if found.cheaper_open is not None:
        other = by_name[found.cheaper_open.setting]
        assert other.is_open and other.cost == min(cheaper)
    for name in found.tied_with:
        assert by_name[name].verdict == pick.verdict
    runs = [c for c in candidates if c.runnable and c.setting.path == "deployed"]
    command = found.command or (found.mlx_lm and found.mlx_lm.command)
    if not runs:
        assert command is None
    if found.mlx_lm is not None:
        second = by_name[found.mlx_lm.setting]
        assert not pick.runnable and second.runnable
        assert tier_rank(second.verdict) == max(tier_rank(c.verdict) for c in runs)


@given(scored_settings(), st.randoms(use_true_random=False))
def test_neither_depends_on_the_order_asked(case: Any, random: Any) -> None:
    candidates, pairs = case
    shuffled = random.sample(candidates, len(candidates))
    assert beaten_by(shuffled, pairs).keys() == beaten_by(candidates, pairs).keys()
    one = recommend(candidates, pairs, FULL, job(candidates))
    other = recommend(shuffled, pairs, FULL, job(candidates))
    if one is None or other is None:
        assert one is other is None
        return
    assert one.verdict == other.verdict
    costs = {c.name: c.cost for c in candidates}
    assert costs[one.setting] == pytest.approx(costs[other.setting])
