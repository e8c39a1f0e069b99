"""The glossary explains what is on screen, with the bounds that the verdict really uses."""

from __future__ import annotations

import pytest

from qfid_tui.words.glossary import GLOSSARY, matching
from scorer.spec.thresholds import KV, METRICS
from scorer.stats.verdict import verdict_of

ENTRIES = [entry for entries in GLOSSARY.values() for entry in entries]
TERMS = " | ".join(entry.term for entry in ENTRIES)


@pytest.mark.parametrize(
    "term",
    "KL divergence|KL mean|p99|flips|perplexity|Δppl|interval|verdict|good?|noise floor|"
    "KV bytes per token|Pareto frontier|stress|deployment|deployed|dequantized|spread|chunk|"
    "document|position|group size|setting|rate|memory".split("|"),
)
def test_every_number_on_screen_is_explained(term: str) -> None:
    assert term in TERMS


def test_no_term_is_explained_twice_and_each_in_one_sentence() -> None:
    assert len({entry.term for entry in ENTRIES}) == len(ENTRIES)
    for entry in ENTRIES:
        assert entry.meaning.endswith(".") and ". " not in entry.meaning, entry.term
        assert not entry.good.endswith(".") and not entry.unit.endswith("."), entry.term


def test_bounds_are_those_of_the_verdict() -> None:
    verdict = next(entry for entry in ENTRIES if entry.term == "verdict").good
    for tier in (KV.good, KV.marginal):
        assert f"≤ {tier.kl_mean:g}" in verdict
        assert f"≤ {tier.kl_p99:g}" in verdict
        assert f"≤ {100 * tier.flip_rate:g} %" in verdict
    assert len(METRICS) == 3, "a bound more needs a word more"
    assert verdict_of(KV.good.kl_mean, KV.good.kl_p99, KV.good.flip_rate, KV) == "good"


def test_words_narrow_it() -> None:
    assert matching("") == GLOSSARY
    assert [
        entry.term for entries in matching("PARETO frontier").values() for entry in entries
    ] == ["Pareto frontier"]
    assert matching("no such word") == {}
