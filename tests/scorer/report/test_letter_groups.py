"""Letters of a report: who shares one, who has none and why, and what the report says of it."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
from report_builders import built, make_facts, make_positions, random_positions, scored

from scorer.report.build import build_report
from scorer.report.formats.csv_export import to_csv
from scorer.report.formats.markdown import to_markdown
from scorer.report.formats.model_card import to_model_card
from scorer.report.groups import with_groups
from scorer.report.groups_part import WithoutLetter
from scorer.report.tree import Report
from scorer.runs.facts import FailureFacts


def report_of(kl: dict[str, dict[str, Any]]) -> Report:
    """A report of settings with random positions, from their arguments."""
    found = [scored(name, random_positions(**values)) for name, values in kl.items()]
    return build_report(make_facts(",".join(kl)), found)


def test_a_letter_is_shared_where_a_pair_is_not_told_apart_and_only_there() -> None:
    # A setting of another start scores other positions, although its numbers are the same.
    names = ["8", "6", "5", "4", "3", "2", "8:32", "6:32", "4:32", "4@4", "2@4"]
    kl = {
        name: {"scale": 0.002 * (i % 9 + 1) ** 1.5, "seed": i, "first": 4 * ("@" in name)}
        for i, name in enumerate(names)
    }
    report = report_of(kl)
    assert report.groups is not None
    letters = {row.setting: set(row.letters) for row in report.settings}
    told = {frozenset((pair.a, pair.b)): pair.told_apart for pair in report.comparisons}
    alike = 0
    for a, b in itertools.combinations(names, 2):
        shared = bool(letters[a] & letters[b])
        assert shared == (told.get(frozenset((a, b))) is False)
        alike += shared
    assert len(told) == 9 * 8 / 2 + 1
    assert (report.groups.n_pairs, report.groups.n_alike) == (len(told), alike)
    assert 0 < alike < len(told)
    assert all(letters.values())
    # The letters rise with the drift.
    drift = {row.setting: row.numbers.kl.mean for row in report.settings if row.numbers}
    firsts = [drift[group.settings[0]] for group in report.groups.letters]
    assert firsts == sorted(firsts)
    for group in report.groups.letters:
        assert list(group.settings) == sorted(group.settings, key=drift.__getitem__)


def test_no_letter_without_a_usable_pair_and_the_reason() -> None:
    failure = FailureFacts("SettingFailed", "it broke")
    settings = [
        scored("8", random_positions()),
        scored("6", random_positions(scale=0.006, seed=1)),
        scored("5", None),
        scored("4@4", random_positions(first=4, n_depth=11)),
        scored("3", None, failure=failure),
        scored("2", random_positions(chunks=[20])),
    ]
    report = build_report(make_facts("8,6,5,4@4,3,2"), settings)
    assert [bool(row.letters) for row in report.settings] == [True, True, *[False] * 4]
    assert report.groups is not None
    assert report.groups.without_letter == (
        WithoutLetter(settings=("5",), why="not scored yet"),
        WithoutLetter(
            settings=("4@4",), why="no other setting scores the same positions on the same path"
        ),
        WithoutLetter(settings=("3",), why="failed"),
        WithoutLetter(settings=("2",), why="it has no chunk in common with another setting"),
    )
    shown = to_markdown(report)
    assert "Without a letter: `4@4`: no other setting scores the same positions" in shown


def test_one_chunk_and_equal_differences_give_no_letter() -> None:
    one = report_of({"8": {"chunks": [3]}, "4": {"chunks": [3], "scale": 0.1}})
    assert one.groups is not None and one.groups.letters == ()
    (why,) = one.groups.without_letter
    assert why.why == "one common chunk gives no interval of a difference"
    assert "| group |" not in to_markdown(one)

    positions = random_positions()
    more = make_positions(
        chunk=positions.chunk, position=positions.position, kl=np.full(len(positions), 0.5)
    )
    flat = dataclasses.replace(more, kl=np.full(len(positions), 0.25))
    equal = build_report(make_facts("8,4"), [scored("8", flat), scored("4", more)])
    assert equal.groups is not None
    assert "equal on all chunks" in equal.groups.without_letter[0].why


def test_one_setting_has_no_groups() -> None:
    report = report_of({"8": {}})
    assert report.groups is None
    assert "groups" not in built(make_facts("8"), [scored("8", random_positions())])


def test_every_form_has_the_letters_of_the_report() -> None:
    report = report_of({"8": {}, "6": {"scale": 0.0055, "seed": 1}, "4": {"scale": 0.4, "seed": 2}})
    assert [row.letters for row in report.settings] == ["a", "a", "b"]
    shown = to_markdown(report)
    assert "**Groups**, the least drift first: a: `6`, `8`; b: `4`." in shown
    assert "1 of 3 pairs are not told apart, by Holm's method over all at 5 %." in shown
    assert "| group |" in to_model_card(report)
    head, *lines = (line.split(",") for line in to_csv(report).splitlines())
    assert [line[head.index("group")] for line in lines] == ["a", "a", "b"]
    values = report.to_json()
    assert values["groups"]["letters"] == [
        {"letter": "a", "settings": ["6", "8"]},
        {"letter": "b", "settings": ["4"]},
    ]
    assert (values["groups"]["correction"], values["groups"]["level"]) == ("Holm", 0.05)
    assert [row["letters"] for row in values["settings"]] == ["a", "a", "b"]
    assert Report.from_json(values) == report


def test_reports_of_earlier_versions_get_letters_from_their_pairs() -> None:
    report = report_of({"8": {}, "6": {"scale": 0.0055, "seed": 1}})
    rows = tuple(dataclasses.replace(row, letters="") for row in report.settings)
    older = dataclasses.replace(report, settings=rows, groups=None)
    assert with_groups(older) == report
