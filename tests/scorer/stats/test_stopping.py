"""When a run looks whether it is settled, and what a look says."""

from __future__ import annotations

import math

import pytest

from scorer.spec.thresholds import KV, Metric
from scorer.stats.intervals import Interval
from scorer.stats.stopping import (
    LookEnds,
    RunEnds,
    look_confidence,
    look_sizes,
    look_units,
    looks_of_pair,
    looks_together,
    open_metrics,
    standing,
)


def test_each_look_is_half_as_large_again_and_the_last_is_at_all_chunks() -> None:
    assert look_sizes(595) == (30, 45, 67, 101, 151, 227, 341, 512, 595)
    assert look_sizes(30) == (30,)
    assert look_sizes(31) == (30, 31)
    assert look_sizes(4) == (4,)


def test_looks_are_at_whole_batches() -> None:
    assert look_sizes(200, 8) == (32, 48, 72, 104, 152, 200)
    assert look_sizes(200, 64) == (64, 128, 192, 200)
    assert look_sizes(40, 64) == (40,)


def test_five_percent_are_shared_by_settings_criteria_and_looks() -> None:
    assert look_confidence(1, 1) == pytest.approx(1 - 0.05 / 3)
    assert look_confidence(2, 9) == pytest.approx(1 - 0.05 / 54)


def found(
    mean: Interval | None, p99: Interval | None, flips: Interval | None
) -> dict[Metric, LookEnds]:
    return {"kl_mean": LookEnds(mean), "kl_p99": LookEnds(p99), "flip_rate": LookEnds(flips)}


WITHIN = Interval(0.001, 0.01)


def test_settled_good_takes_every_interval_within_its_bound() -> None:
    ends = found(WITHIN, Interval(0.05, 0.1), WITHIN)
    assert standing(ends, KV.good) == "settled good"
    assert open_metrics(ends, KV.good) == ()
    ends["kl_p99"] = LookEnds(Interval(0.05, 0.11))
    assert standing(ends, KV.good) == "not settled"
    assert open_metrics(ends, KV.good) == ("kl_p99",)


def test_one_interval_beyond_settles_worse() -> None:
    ends = found(None, Interval(0.05, 0.2), Interval(0.011, 0.5))
    assert standing(ends, KV.good) == "settled worse"
    # The bound itself is within.
    ends["flip_rate"] = LookEnds(Interval(0.01, 0.5))
    assert standing(ends, KV.good) == "not settled"


def test_a_missing_interval_is_open() -> None:
    ends = found(None, WITHIN, WITHIN)
    assert standing(ends, KV.good) == "not settled"
    assert open_metrics(ends, KV.good) == ("kl_mean",)


def test_a_value_within_rounding_of_its_bound_is_open() -> None:
    ends = found(WITHIN, WITHIN, WITHIN)
    ends["kl_mean"] = LookEnds(WITHIN, noise=Interval(0.004, 0.012))
    assert open_metrics(ends, KV.good) == ("kl_mean",)
    infinite = LookEnds(Interval(math.inf, math.inf), noise=Interval(math.inf, math.inf))
    assert standing({**ends, "kl_mean": infinite}, KV.good) == "settled worse"


def test_documents_are_the_units_where_the_text_has_them() -> None:
    documents: dict[int, int | None] = {chunk: chunk // 4 for chunk in range(40)}
    units = look_units([0, 1, 39, 20], documents, range(40))
    assert (units.kind, units.of_chunk, units.count) == ("document", (0, 0, 1, 2), 3)
    units = look_units([0, 1, 39, 20], documents, range(16))
    assert (units.kind, units.count, units.label) == ("chunk", 4, "these passages only")


def test_two_runs_share_the_looks_at_their_common_chunks() -> None:
    whole, part = RunEnds((595,), "random:1"), RunEnds((30, 45, 67, 101), "random:1")
    longer = RunEnds((30, 45, 67, 101, 151, 200), "random:1")
    other, spread = RunEnds((30, 45, 60), "random:2"), RunEnds((8,), "spread")
    assert looks_together([whole]) == looks_together([whole, whole]) == 1
    assert looks_together([whole, spread]) == 1
    # A setting against another of the same run: at each of its looks.
    assert looks_together([part]) == looks_together([part, part]) == 4
    # In one order the shorter is the beginning of the longer.
    assert looks_together([part, whole]) == 4
    assert looks_of_pair(part, longer) == 4 and looks_together([part, longer]) == 6
    assert looks_of_pair(longer, RunEnds((50,), "random:1")) == 3
    # In two orders every pair of looks has other chunks in common.
    assert looks_together([part, other]) == 12
    assert looks_together([part, spread]) == 4
    assert looks_together([whole, part, other]) == 12
