"""The recommendation names what costs less and cannot be told apart from it."""

from __future__ import annotations

import itertools

from report_builders import bytes_per_token

from scorer.report.ranking import Candidate
from scorer.report.recommendation import recommend
from scorer.report.tree import Recommendation
from scorer.spec.job import Job
from scorer.spec.settings.kv import KVSetting
from scorer.spec.thresholds import Verdict
from scorer.stats.intervals import Interval
from scorer.stats.pairs import PairedDifference

MORE = "about 9 more chunks would settle it"


def candidate(name: str, kl_mean: float, verdict: Verdict, settling: str = "") -> Candidate:
    setting = KVSetting.parse(name)
    return Candidate(
        setting=setting,
        cost=bytes_per_token(setting),
        kl_mean=kl_mean,
        verdict=verdict,
        is_open=bool(settling),
        runnable=True,
        settling=settling,
    )


CANDIDATES = [
    candidate("8", 0.005, "good"),
    candidate("6", 0.0055, "good", MORE),
    candidate("4", 0.006, "marginal"),
    candidate("3", 0.2, "bad"),
]


def recommended(*alike: str) -> Recommendation:
    """The recommendation where 8 is told apart from all but some."""
    pairs = {}
    for a, b in itertools.combinations(CANDIDATES, 2):
        difference = a.kl_mean - b.kl_mean
        half = 1.0 if a.name == "8" and b.name in alike else abs(difference) / 2
        ends = Interval(difference - half, difference + half)
        pairs[a.name, b.name] = PairedDifference(difference, ends, "chunk", 8)
    job = Job("org/model", tuple(c.setting for c in CANDIDATES))
    found = recommend(CANDIDATES, pairs, 23040.0, job)
    assert found is not None
    return found


def test_a_cheaper_setting_of_the_same_letter_is_named_with_why_it_is_not_it() -> None:
    found = recommended("6", "4")
    assert (found.setting, found.cheaper_alike) == ("8", ("4", "6"))
    assert found.cheaper_open is not None and found.cheaper_open.setting == "6"
    assert found.sentences[1:] == (
        "`4` (marginal) costs less and cannot be told apart from it, but is marginal",
        "`6` (good?) costs less and cannot be told apart from it, but is not settled as good: "
        f"{MORE}",
    )


def test_one_that_is_told_apart_is_named_only_where_it_is_open() -> None:
    found = recommended()
    assert (found.setting, found.cheaper_alike) == ("8", ())
    assert found.sentences[1:] == (f"`6` (good?) is cheaper and open: {MORE}",)
