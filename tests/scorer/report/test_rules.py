"""An older report made anew: what it says otherwise, and by which rule."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from project import ROOT
from report_builders import built, make_facts, random_positions, scored
from tiny_runs import Small, finished, planned

from scorer.report.from_run import finished_report
from scorer.report.measured import ScoredSetting
from scorer.report.rules import RULES, RULES_2, by_present_rules, changes_of, with_changes
from scorer.report.setting_row import SettingNumbers, SettingRow
from scorer.report.tree import Report
from scorer.runs.listing import find_run
from scorer.stats.intervals import Interval

README = (Path(ROOT) / "README.md").read_text("utf-8")


def report(settings: list[ScoredSetting], n_chunks: int = 12) -> Report:
    names = [str(s.setting) for s in settings]
    return Report.from_json(built(make_facts(names, n_chunks=n_chunks), settings))


def as_before(made: Report, setting: str, verdict: str, **changes: object) -> Report:
    """The report as an older version could have made it, settled, with another verdict."""

    def older(row: SettingRow) -> SettingRow:
        assert row.numbers is not None
        if row.setting != setting:
            return row
        numbers = replace(
            row.numbers, verdict_shown=verdict, verdict_open=(), verdict_without_interval=()
        )
        return replace(row, numbers=numbers, **changes)  # type: ignore[arg-type]

    return replace(made, rules=1, settings=tuple(map(older, made.settings)))


def numbers(row: SettingRow) -> SettingNumbers:
    assert row.numbers is not None
    return row.numbers


def test_a_report_names_its_rules_and_an_older_one_has_none() -> None:
    made = report([scored("8", random_positions())])
    assert made.rules == made.to_json()["rules"] == RULES
    values = made.to_json()
    del values["rules"]
    assert Report.from_json(values).rules == 1


def test_a_settled_verdict_of_one_chunk_is_open_now() -> None:
    made = report([scored("8", random_positions(n_chunks=1, scale=1e-3, flip_rate=0))], n_chunks=1)
    assert numbers(made.settings[0]).verdict_shown == "good?"
    before = as_before(made, "8", "good")
    (said,) = changes_of(before, made)
    assert said == (
        f"`8` was reported as good and is good? by the present rules: {RULES_2['no interval']}"
    )
    anew = with_changes(made, before)
    assert anew.run.warnings == (said, *made.run.warnings)
    assert anew.settings[0].warnings == (said, *made.settings[0].warnings)
    # It stands in the report of this version, and is not said of it.
    assert changes_of(anew, made) == []
    assert with_changes(made, None) is with_changes(made, made) is made


def test_figures_over_all_own_chunks_are_said() -> None:
    made = report(
        [
            scored("8", random_positions()),
            scored("4", random_positions(chunks=[0, 1, 2], scale=0.2, seed=1)),
        ]
    )
    before = as_before(made, "8", "marginal", n_chunks=3)
    (said,) = changes_of(before, made)
    assert said.startswith("`8` was reported as marginal and is good? ")
    assert RULES_2["own chunks"] in said
    # Chunks that were scored since are no rule.
    assert changes_of(as_before(made, "8", "marginal", n_chunks=3, seconds=1.0), made) == []


def test_the_metric_whose_interval_is_another_is_named() -> None:
    positions = random_positions(n_depth=60, flip_rate=0.012, seed=3)
    made = report([scored("8", positions)])
    now = numbers(made.settings[0])
    assert "flip_rate" in {bound.metric for bound in now.verdict_open}
    assert not now.verdict_without_interval
    (said,) = changes_of(as_before(made, "8", now.verdict), made)
    assert RULES_2["flips"] in said and RULES_2["no interval"] not in said


def test_another_recommendation_and_pairs_are_said() -> None:
    made = report(
        [
            scored("8", random_positions()),
            scored("6", random_positions(scale=0.006, seed=4)),
            scored("4@5", random_positions(first=5, n_depth=10, scale=1e-4)),
        ]
    )
    assert made.recommendation is not None
    before = replace(
        made,
        rules=1,
        recommendation=replace(made.recommendation, setting="4@5"),
        comparisons=tuple(replace(pair, told_apart=True) for pair in made.comparisons),
    )
    recommendation, pairs = changes_of(before, made)
    assert recommendation.startswith("`4@5` was recommended and `")
    assert recommendation.endswith(RULES_2["comparable"])
    assert pairs == f"1 pair was told apart and no longer: {RULES_2['pairs']}"


def test_lists_show_an_older_verdict_without_an_interval_as_open() -> None:
    made = report([scored("8", random_positions(n_chunks=1, scale=1e-3, flip_rate=0))], n_chunks=1)
    before = as_before(made, "8", "good")
    assert not numbers(before.settings[0]).is_open
    row = numbers(by_present_rules(before).settings[0])
    assert row.is_open and row.verdict_shown == "good?"
    assert {lacking.why for lacking in row.verdict_without_interval} == {"one chunk"}
    assert by_present_rules(made) is made


def test_lists_leave_an_older_verdict_with_its_intervals_alone() -> None:
    made = report([scored("8", random_positions(n_depth=60))])
    before = as_before(made, "8", "good")
    assert numbers(by_present_rules(before).settings[0]).verdict_shown == "good"
    flat = numbers(before.settings[0])
    ends = replace(flat.intervals, flip_rate=Interval(0.0, 0.0))
    rows = (replace(before.settings[0], numbers=replace(flat, intervals=ends)),)
    row = numbers(by_present_rules(replace(before, settings=rows)).settings[0])
    assert [(lacking.metric, lacking.why) for lacking in row.verdict_without_interval] == [
        ("flip_rate", "no width")
    ]


def test_a_saved_run_says_what_its_older_report_said_otherwise(small: Small) -> None:
    events = small.score("8", max_chunks=1)
    run, values = find_run(planned(events).run), finished(events).report
    assert finished_report(run).to_json() == values
    row = values["settings"][0]
    # As the first version wrote it.
    older = json.loads(json.dumps(values))
    for found in (older, older["settings"][0]):
        found |= {"verdict_shown": row["verdict"], "verdict_without_interval": []}
    del older["rules"]
    (run.path / "report.json").write_text(json.dumps(older))
    said = finished_report(run).run.warnings[0]
    assert said.startswith(f"`8` was reported as {row['verdict']} and is {row['verdict']}? ")


def test_the_changelog_lists_every_rule() -> None:
    changelog = README[README.index("## Changelog") :]
    for rule in RULES_2.values():
        assert rule in changelog, rule
