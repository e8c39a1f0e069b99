"""Rows of many reports: ranked within one key, and nothing else is."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from report_builders import identity_of, make_facts, random_positions, scored
from weights_reports import weights_report

from scorer.report.build import build_report
from scorer.report.formats.site import to_site
from scorer.report.row_keys import with_row_keys
from scorer.report.standings import NO_CHUNKS, NO_COMMON, NO_KEY, NamedReport, standings
from scorer.report.stopping_part import StoppingPart
from scorer.report.tree import Report
from scorer.runs.comparability import run_conditions
from scorer.runs.facts import StoredFacts
from scorer.spec.thresholds import KV, WEIGHTS


def report_of(
    settings: dict[str, float], chunks: range = range(12), seed: int = 0, **changes: Any
) -> Report:
    """A report of settings by their drift; ``changes`` are those of its identity."""
    facts = make_facts(list(settings), n_chunks=12)
    rows = []
    for name, scale in settings.items():
        start = int(name.partition("@")[2] or 0)
        positions = random_positions(
            chunks=list(chunks), scale=scale, first=start, n_depth=15 - start, seed=seed
        )
        rows.append(scored(name, positions))
    identity = StoredFacts(identity={**identity_of(facts), **changes})
    return with_row_keys(build_report(facts, rows), run_conditions(identity))


def named(**reports: Report) -> list[NamedReport]:
    return [NamedReport(name, report) for name, report in reports.items()]


def test_runs_of_one_key_are_ranked_together_on_their_common_chunks() -> None:
    found = standings(
        named(one=report_of({"8": 0.0005, "4": 0.3}), two=report_of({"6": 0.01}, range(8)))
    )
    ((group,),) = found.sections
    assert [each.row.setting for each in group.standings] == ["8", "6", "4"]
    assert [each.rank for each in group.standings] == [1, 2, 3]
    assert [each.run for each in group.standings] == ["one", "two", "one"]
    assert group.n_chunks == 8 and not group.differs and not found.not_ranked
    first = group.standings[0]
    assert first.kl_mean == pytest.approx(sum(first.numbers.kl_mean_per_chunk[:8]) / 8)


def test_rows_that_are_not_told_apart_share_a_rank() -> None:
    other = report_of({"6": 0.0101}, seed=2)
    found = standings(named(one=report_of({"8": 0.01, "4": 0.5}), two=other))
    ((group,),) = found.sections
    ranks = {each.row.setting: each.rank for each in group.standings}
    assert ranks == {"8": 1, "6": 1, "4": 3}


@pytest.mark.parametrize("name", ["corpus", "model files", "protocol", "chunk length"])
def test_another_text_model_protocol_or_length_is_a_section_of_its_own(name: str) -> None:
    value: Any = 17 if name == "chunk length" else "other"
    other = report_of({"8": 0.0001}, **{name: value})
    found = standings(named(one=report_of({"8": 0.0005}), two=other))
    assert [len(groups) for groups in found.sections] == [1, 1]
    assert all(each.rank == 1 for (group,) in found.sections for each in group.standings)


def test_how_and_where_it_was_computed_is_a_group_of_its_own_and_named() -> None:
    reports = named(
        one=report_of({"8": 0.0005, "4@5": 0.3}),
        two=report_of({"8": 0.0001}, device="cpu another"),
    )
    (groups,) = standings(reports).sections
    assert [group.differs for group in groups] == [
        (),
        ("first 5 tokens at full precision, not 0",),
        ("device cpu another, not cpu Test CPU",),
    ]
    assert len({group.key for group in groups}) == 3


def test_of_runs_of_one_setting_that_with_most_chunks_stands() -> None:
    short, long = report_of({"8": 0.0005}, range(4)), report_of({"8": 0.0005})
    ((group,),) = standings(named(a=short, b=long, c=short)).sections
    (standing,) = group.standings
    assert standing.run == "b" and standing.more_runs == ("a", "c")


def test_what_has_no_key_no_chunks_or_none_in_common_is_not_ranked() -> None:
    whole = report_of({"8": 0.0005})
    row = whole.settings[0]
    assert row.numbers is not None
    bare = dataclasses.replace(row.numbers, kl_mean_per_chunk=())
    reports = named(
        a=whole,
        b=report_of({"6": 0.01}, corpus=None),
        c=dataclasses.replace(whole, settings=(dataclasses.replace(row, numbers=bare),)),
        d=report_of({"4": 0.3}, range(12, 15)),
        e=build_report(make_facts("8"), [scored("8", None)]),
    )
    found = standings(reports)
    ((group,),) = found.sections
    assert [each.run for each in group.standings] == ["a"] and group.n_chunks == 12
    assert [(each.run, each.why) for each in found.not_ranked] == [
        ("b", NO_KEY),
        ("c", NO_CHUNKS),
        ("d", NO_COMMON),
    ]
    assert found.without_numbers == 1


def test_verdicts_by_other_bounds_in_one_table_are_marked() -> None:
    kv, weights = report_of({"8": 0.0005, "4": 0.3}), report_of({"6": 0.01}, seed=2)
    assert "*" not in to_site(standings(named(one=kv, two=weights)), 2)
    weights = dataclasses.replace(weights, verdict_bounds=WEIGHTS)
    found = standings(named(one=kv, two=weights))
    ((group,),) = found.sections
    assert {each.row.setting: each.bounds for each in group.standings} == {
        "8": KV,
        "6": WEIGHTS,
        "4": KV,
    }
    page = to_site(found, 2)
    marked = [row for row in page.split("<tr>") if "*</td>" in row]
    assert len(marked) == 1 and "<code>6</code>" in marked[0]
    assert "Verdicts with and without * are by other bounds" in page
    assert "flips ≤ 1 %" in page and "* Verdict good: KL mean ≤ 0.01" in page


def test_weights_of_another_revision_are_another_row() -> None:
    conditions = run_conditions(StoredFacts(identity=identity_of(make_facts("8"))))
    report = with_row_keys(weights_report("w=a/model-4bit"), conditions)
    row = report.settings[0]
    assert row.weights is not None
    weights = dataclasses.replace(row.weights, model_revision="d" * 40)
    other = dataclasses.replace(report, settings=(dataclasses.replace(row, weights=weights),))
    ((group,),) = standings(named(a=report, b=other)).sections
    assert [each.run for each in group.standings] == ["a", "b"]
    assert [each.rank for each in group.standings] == [1, 1]


def test_a_row_with_few_chunks_does_not_shrink_the_table_of_the_others() -> None:
    reports = named(
        one=report_of({"8": 0.0005, "4": 0.3}),
        two=report_of({"6": 0.01}, range(3)),
        three=report_of({"5": 0.05}, range(7), seed=3),
    )
    (groups,) = standings(reports).sections
    assert [[each.row.setting for each in group.standings] for group in groups] == [
        ["8", "5", "4"],
        ["8", "6", "5", "4"],
    ]
    assert [(group.n_chunks, group.n_fewer) for group in groups] == [(7, 1), (3, 0)]
    assert groups[0].key == groups[1].key and not groups[1].differs
    page = to_site(standings(reports), 3)
    assert "Left out is 1 row with less than half of these chunks" in page
    assert "The rows of the table above again, with more" in page
    assert "Not ranked with the first table" not in page


def test_a_row_with_other_chunks_is_left_out_even_if_it_has_most() -> None:
    reports = named(
        one=report_of({"8": 0.0005}, range(4, 8)),
        two=report_of({"6": 0.01}, range(4, 8), seed=1),
        random=report_of({"5": 0.05}, range(7, 12), seed=2),
    )
    (groups,) = standings(reports).sections
    assert [[each.row.setting for each in group.standings] for group in groups] == [
        ["8", "6"],
        ["8", "6", "5"],
    ]
    assert [group.n_chunks for group in groups] == [4, 1]


def test_two_rows_are_ranked_however_few_chunks_they_share() -> None:
    reports = named(one=report_of({"8": 0.0005}), two=report_of({"6": 0.01}, range(3)))
    ((group,),) = standings(reports).sections
    assert (group.n_chunks, group.n_fewer, len(group.standings)) == (3, 0, 2)


def test_pairs_with_a_run_that_stops_are_tested_at_a_share_of_a_look() -> None:
    plain, other = report_of({"8": 0.01}), report_of({"6": 0.02}, seed=1)
    ((group,),) = standings(named(one=plain, two=other)).sections
    assert group.looks == 1 and [each.rank for each in group.standings] == [1, 2]
    part = StoppingPart(
        looks=(2, 3, 4, 5, 6, 7, 8, 12),
        look=8,
        n_chunks=12,
        stopped=True,
        order="random:1",
        confidence=0.99,
        unit="chunk",
    )
    stopped = dataclasses.replace(plain, stopping=part)
    found = standings(named(one=stopped, two=other))
    ((group,),) = found.sections
    assert group.looks == 8 and [each.rank for each in group.standings] == [1, 1]
    assert "pairs are tested at a look's share of the 5 %, 1 of 8." in to_site(found, 2)
