"""The frontier, its ties and the recommendation."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_builders import bytes_per_token

from scorer.report.ranking import Candidate, beaten_by, frontiers
from scorer.report.recommendation import recommend
from scorer.spec.job import Job
from scorer.spec.settings.kv import KVSetting
from scorer.spec.thresholds import TIERS, Verdict
from scorer.stats.intervals import Interval
from scorer.stats.pairs import PairedDifference
from scorer.stats.verdict import kv_verdict, tier_rank

FULL = 23040.0


def candidate(
    name: str, kl_mean: float, verdict: Verdict | None = None, **changes: Any
) -> Candidate:
    setting = KVSetting.parse(name)
    values: dict[str, Any] = {
        "cost": bytes_per_token(setting),
        "verdict": verdict or kv_verdict(kl_mean, kl_mean, 0.0),
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


def recommended(candidates: list[Candidate], pairs: Any = None) -> dict[str, Any]:
    pairs = all_apart(candidates) if pairs is None else pairs
    found = recommend(candidates, pairs, FULL, job(candidates))
    assert found is not None
    return found


def test_cheapest_good_with_its_command() -> None:
    found = recommended([candidate("8", 0.0003), candidate("6", 0.005), candidate("4", 0.2)])
    assert (found["setting"], found["verdict"], found["tied_with"]) == ("6", "good", [])
    assert found["sentences"] == [
        "`6` is the cheapest good setting scored: 40.6 % of the 16-bit KV cache"
    ]
    assert found["command"] == (
        "mlx_lm.generate --model org/model --kv-bits 6 --kv-group-size 64 "
        "--quantized-kv-start 0 --prompt …"
    )
    assert found["mlx_lm"] is None


def test_none_good_names_the_best_and_its_tier() -> None:
    found = recommended([candidate("4", 0.2), candidate("6", 0.05), candidate("2", 3.0)])
    assert found["setting"] == "6"
    assert found["sentences"] == [
        "No setting scored is good; the best is `6` (marginal): 40.6 % of the 16-bit KV cache"
    ]


def test_cheapest_good_that_mlx_lm_cannot_run_gets_a_second_sentence() -> None:
    found = recommended([candidate("8", 0.0003), candidate("k8v4", 0.004), candidate("4", 0.2)])
    assert (found["setting"], found["command"]) == ("k8v4", None)
    assert found["sentences"][1] == (
        "mlx-lm cannot run `k8v4`; the cheapest good setting it runs is `8` (good)"
    )
    assert found["mlx_lm"]["setting"] == "8"
    assert "--kv-bits 8" in found["mlx_lm"]["command"]
    assert "sentences" not in found["mlx_lm"]


def test_best_that_mlx_lm_runs_where_none_of_those_is_good() -> None:
    found = recommended([candidate("k8v4", 0.004), candidate("4", 0.05)])
    assert found["sentences"][1] == "mlx-lm cannot run `k8v4`; the best it runs is `4` (marginal)"


def test_mlx_lm_runs_nothing() -> None:
    found = recommended([candidate("k8v4", 0.004)])
    assert found["sentences"][1] == "mlx-lm runs none of the settings scored on this model"
    assert (found["command"], found["mlx_lm"]) == (None, None)


def test_ties_of_equal_cost_are_named() -> None:
    # k8v4 and k4v8 hold the same bytes.
    settings = [candidate("k8v4", 0.004), candidate("k4v8", 0.0041)]
    one = {("k8v4", "k4v8"): pair(-0.0001, apart=False)}
    found = recommended(settings, one)
    assert (found["setting"], found["tied_with"]) == ("k8v4", ["k4v8"])
    assert found["sentences"][1] == "`k4v8` costs the same"
    apart = {("k8v4", "k4v8"): pair(-0.0001, apart=True)}
    assert recommended(settings, apart)["tied_with"] == []


def test_best_of_none_good_is_the_cheapest_that_cannot_be_told_apart() -> None:
    settings = [candidate("8", 0.030), candidate("6", 0.031)]
    found = recommended(settings, {("8", "6"): pair(-0.001, apart=False)})
    assert (found["setting"], found["tied_with"]) == ("6", ["8"])
    assert found["sentences"][1] == "`8` cannot be told apart from it on this text"


def test_without_an_interval_nothing_is_tied() -> None:
    settings = [candidate("8", 0.030), candidate("6", 0.090)]
    unknown = {("8", "6"): PairedDifference(-0.06, None, "chunk", 1)}
    found = recommended(settings, unknown)
    assert (found["setting"], found["tied_with"]) == ("8", [])
    assert frontiers(settings, unknown)[0]["tied"] == []


def test_infinite_drift_is_not_the_best_because_it_is_cheap() -> None:
    settings = [candidate("8", 0.2), candidate("2", math.inf)]
    endless = {("8", "2"): PairedDifference(None, None, "chunk", 8)}
    assert recommended(settings, endless)["setting"] == "8"


def test_an_open_verdict_is_said_with_what_would_settle_it() -> None:
    found = recommended([candidate("8", 0.009, is_open=True, more_chunks=14)])
    assert found["verdict_shown"] == "good?"
    assert found["sentences"][1] == (
        "This verdict is open: an interval crosses a bound; about 14 more chunks would settle it"
    )
    on_the_bound = recommended([candidate("8", 0.01, is_open=True)])
    assert on_the_bound["sentences"][1] == "This verdict is open: an interval crosses a bound"


def test_more_chunks_than_the_text_has_are_no_advice() -> None:
    open_one = candidate("8", 0.009, is_open=True, more_chunks=14)
    said = {}
    for left in (13, 14, None):
        found = recommend([open_one], {}, FULL, job([open_one]), left)
        assert found is not None
        said[left] = found["sentences"][-1]
    assert said[13].endswith("about 14 more chunks would settle it, more than this text has")
    assert said[14] == said[None]
    assert said[14].endswith("about 14 more chunks would settle it")


def test_nothing_scored() -> None:
    assert recommend([], {}, FULL, Job("demo", (KVSetting(8, 8),))) is None


def test_demo_has_no_command_of_mlx_lm() -> None:
    settings = [candidate("8", 0.001)]
    found = recommend(settings, {}, FULL, job(settings, "demo"))
    assert found is not None and found["command"] is None


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
        {"quantize_start": 0, "path": "deployed", "settings": ["4", "6", "8"], "tied": []},
        {"quantize_start": 64, "path": "deployed", "settings": ["4@64"], "tied": []},
        {"quantize_start": 0, "path": "dequantized", "settings": ["8~dequantized"], "tied": []},
    ]


def test_neighbours_that_cannot_be_told_apart_are_tied() -> None:
    settings = [candidate("8", 0.001), candidate("6", 0.0011), candidate("4", 0.2)]
    pairs = all_apart(settings) | {("8", "6"): pair(-0.0001, apart=False)}
    (found,) = frontiers(settings, pairs)
    assert found["settings"] == ["4", "6", "8"]
    assert found["tied"] == [["6", "8"]]


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
        if a.setting.start == b.setting.start and draw(st.integers(0, 9)):
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
    members = [name for f in frontiers(candidates, pairs) for name in f["settings"]]
    assert sorted([*members, *beaten]) == sorted(
        c.name for c in candidates if not math.isnan(c.kl_mean)
    )
    for frontier in frontiers(candidates, pairs):
        on_it = [by_name[name] for name in frontier["settings"]]
        for a, b in itertools.permutations(on_it, 2):
            # Fewer bytes and no more KL would beat; equal bytes only where told apart.
            assert not (a.cost < b.cost and a.kl_mean <= b.kl_mean)
        assert [c.cost for c in on_it] == sorted(c.cost for c in on_it)
    for loser, winner in beaten.items():
        a, b = by_name[winner], by_name[loser]
        assert a.footing == b.footing and a.cost <= b.cost and a.kl_mean <= b.kl_mean
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
    pick = by_name[found["setting"]]
    assert not math.isnan(pick.kl_mean)
    if math.isinf(pick.kl_mean) and pick.verdict != "good":
        assert all(math.isinf(c.kl_mean) for c in candidates if c.verdict == pick.verdict)
    best = max(tier_rank(c.verdict) for c in candidates)
    assert tier_rank(pick.verdict) == best
    if pick.verdict == "good":
        assert pick.cost == min(c.cost for c in candidates if c.verdict == "good")
    for name in found["tied_with"]:
        assert by_name[name].verdict == pick.verdict
    runs = [c for c in candidates if c.runnable]
    command = found["command"] or (found["mlx_lm"] or {}).get("command")
    if not runs:
        assert command is None
    if found["mlx_lm"] is not None:
        second = by_name[found["mlx_lm"]["setting"]]
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
    assert one["verdict"] == other["verdict"]
    costs = {c.name: c.cost for c in candidates}
    assert costs[one["setting"]] == pytest.approx(costs[other["setting"]])
