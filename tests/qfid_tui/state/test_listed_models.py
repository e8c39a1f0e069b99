"""The order of the list of models, and its filter."""

from __future__ import annotations

import dataclasses

from qfid_tui.state.listed_models import listed_models
from scorer.models.listing import Unscorable
from scorer.models.resolve import resolve_model

DEMO = resolve_model("demo")
OLD = dataclasses.replace(DEMO, name="org/Old-4bit", last_used=1.0)
NEW = dataclasses.replace(DEMO, name="org/new", last_used=2.0)
NEVER = dataclasses.replace(DEMO, name="org/never", last_used=None)
BROKEN = Unscorable("a/broken-4bit", "no weights", 1)


def test_the_last_used_is_first_and_what_cannot_be_scored_last() -> None:
    found = [BROKEN, DEMO, OLD, NEVER, NEW]
    assert listed_models(found) == [NEW, OLD, NEVER, DEMO, BROKEN]


def test_it_is_sorted_by_size_and_by_name_too() -> None:
    small = dataclasses.replace(NEW, name="org/Small", size_bytes=10)
    large = dataclasses.replace(OLD, name="org/alarge", size_bytes=10**9)
    found = [small, BROKEN, DEMO, large, NEVER]
    assert listed_models(found, order="size") == [large, NEVER, small, DEMO, BROKEN]
    assert listed_models(found, order="name") == [large, NEVER, small, DEMO, BROKEN]
    assert listed_models([NEW, small, large], order="name") == [large, NEW, small]
    assert listed_models(found, "small", "size") == [small]


def test_every_word_of_the_filter_is_in_the_name_in_any_case() -> None:
    found = [BROKEN, DEMO, OLD, NEW]
    assert listed_models(found, "4BIT") == [OLD, BROKEN]
    assert listed_models(found, " 4bit  org ") == [OLD]
    assert listed_models(found, "4bit demo") == []
