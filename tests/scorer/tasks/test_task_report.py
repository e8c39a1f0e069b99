"""Flips and accuracies from answers, the report's forms, and what is kept of it."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from markdown_cells import first_table, unlike_plain
from oracle_paired import mcnemar, paired_interval, score_interval
from page_markup import Page
from task_reports import answers, made_report

from scorer.common.errors import InputError
from scorer.spec.settings.registry import parse_settings
from scorer.spec.tasks_job import TasksJob
from scorer.tasks.build import answers_part, share
from scorer.tasks.formats import items_csv, to_csv, to_json, to_markdown
from scorer.tasks.items import Answers, TaskItems, best, items_of
from scorer.tasks.page import to_html
from scorer.tasks.report import TasksReport, tasks_schema
from scorer.tasks.results import SCORES, Results, read_items, saved_reports


def test_flips_are_counted_item_by_item() -> None:
    gold = [0, 0, 0, 0, 0, 0, 0]
    part = answers_part(
        "4", answers([0, 0, 1, 1, 2, 1, 0], gold), answers([0, 1, 0, 2, 2, 3, 0], gold)
    )
    counts = [
        each.count for each in (part.flips, part.to_wrong, part.to_right, part.wrong_to_wrong)
    ]
    assert counts == [4, 1, 1, 2] and part.accuracy.count == 3 and part.difference == 0.0
    assert not part.told_apart and part.p_value == 1.0


def test_numbers_agree_with_the_oracle() -> None:
    choose = random.Random(5)
    for _ in range(50):
        n = choose.randrange(5, 30)
        gold = [choose.randrange(4) for _ in range(n)]
        one = [g if choose.random() < 0.6 else choose.randrange(4) for g in gold]
        two = [o if choose.random() < 0.7 else choose.randrange(4) for o in one]
        part = answers_part("4", answers(one, gold), answers(two, gold))
        a = [x == g for x, g in zip(one, gold, strict=True)]
        b = [x == g for x, g in zip(two, gold, strict=True)]
        low, high = paired_interval(a, b)
        interval = part.difference_interval
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-9)
        assert part.told_apart == (low > 0 or high < 0)
        flips = sum(x != y for x, y in zip(one, two, strict=True))
        assert part.flips == share(flips, n)
        ends = part.flips.interval
        assert (ends.low, ends.high) == pytest.approx(score_interval(flips, n), abs=1e-9)
        lost = sum(x and not y for x, y in zip(a, b, strict=True))
        won = sum(y and not x for x, y in zip(a, b, strict=True))
        assert (part.to_wrong.count, part.to_right.count) == (lost, won)
        if lost + won <= 12:
            assert part.p_value == pytest.approx(mcnemar(lost, won))


def test_a_table_of_many_settings_needs_more_to_tell_one_apart() -> None:
    gold = [0] * 60
    one, two = answers([0] * 40 + [1] * 20, gold), answers([0] * 33 + [1] * 27, gold)
    alone, among = answers_part("4", one, two), answers_part("4", one, two, 20)
    assert alone.told_apart and not among.told_apart
    assert alone.simultaneous_interval == alone.difference_interval == among.difference_interval
    assert among.simultaneous_interval.holds(0.0)


def test_answers_are_chosen_by_length() -> None:
    assert best([-4.0, -5.0], ["ab", "abcd"], lambda _: 1) == 0
    assert best([-4.0, -5.0], ["ab", "abcd"], len) == 1
    assert best([-4.0, -4.0], ["ab", "cd"], len) == 0


def sample(doc: int, scores: list[tuple[float, bool]], **metrics: float) -> dict[str, Any]:
    return {"doc_id": doc, "doc": doc, "filter": "none", "filtered_resps": scores, **metrics}


def test_samples_of_the_harness_become_items() -> None:
    samples = [
        sample(0, [(-4.0, False), (-5.0, False)], acc=1.0, acc_norm=0.0),
        sample(1, [(-9.0, False), (-5.0, True)], acc=1.0, acc_norm=1.0),
        # Of another filter.
        {**sample(1, [(0.0, False), (-5.0, True)], acc=0.0, acc_norm=0.0), "filter": "other"},
    ]
    results = {"acc,none": 1.0, "acc_stderr,none": "N/A", "alias": "x", "acc,other": 0.0}
    items = items_of("t", "multiple_choice", samples, results, lambda _: ["ab", "abcd"])
    assert items.ids == (0, 1) and items.choices == (2, 2) and items.chance == 0.5
    assert items.answers == (
        Answers("acc", (0, 1), (True, True)),
        Answers("acc_norm", (1, 1), (False, True)),
    )
    assert items.metrics == {"acc": 1.0}
    whole = items_of("t", "loglikelihood", [sample(0, [(-4.0, True)], acc=1)], {}, lambda _: [])
    assert whole.answers == (Answers("acc", (1,), (True,)),) and whole.chance is None
    rolling = items_of("t", "loglikelihood_rolling", [sample(0, [(-4.0, True)])], {}, list)
    assert rolling.answers == ()


def test_the_report_goes_to_json_and_back_and_is_valid() -> None:
    report = made_report()
    values = json.loads(to_json(report))
    jsonschema.Draft202012Validator(tasks_schema()).validate(values)
    assert TasksReport.from_json(values) == report
    assert [each.setting for each in report.failed] == ["k8v2"]
    for name, definition in tasks_schema()["$defs"].items():
        for key, property_ in definition.get("properties", {}).items():
            assert name == "Interval" or "description" in property_, (name, key)
    with pytest.raises(InputError, match="of schema `2`"):
        TasksReport.from_json({**values, "schema": 2})
    with pytest.raises(InputError, match="no report of tasks"):
        TasksReport.from_json({"schema": 1})


def test_markdown_says_what_is_told_apart() -> None:
    text = to_markdown(made_report())
    rows = {cells[0]: cells for cells in first_table(text)}
    assert rows["`8`"][1] == "not told apart" and rows["`8`"][6] == "0.0"
    assert rows["`2`"][1] == "worse" and rows["`2`"][4] == "-30.0"
    assert rows["`2`"][8:11] == ["12", "0", "0"]
    assert not unlike_plain(text)
    assert "Setting `k8v2` failed: no finite likelihood" in text


def test_foreign_names_make_no_markup_and_no_formula() -> None:
    report = made_report(task="=<b>`*x*", model="a|b<script>")
    text = to_markdown(report)
    assert "<script>" not in text.replace("\\<script>", "") and "## =\\<b>" in text
    rows = list(csv.DictReader(io.StringIO(to_csv(report))))
    assert {row["task"] for row in rows} == {"'=<b>`*x*"}


def test_the_page_holds_the_tables_and_no_foreign_markup() -> None:
    page = Page(to_html(made_report(task="<b>`*x*", model="a|b<script>")))
    assert "not told apart" in page.text
    assert "a|b<script>" in page.text and "<b>`*x*" in page.headings
    assert "Setting k8v2 failed: no finite likelihood" in page.text


def test_csv_has_a_row_for_each_setting() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(made_report()))))
    assert [row["setting"] for row in rows] == ["reference", "8", "2"]
    assert rows[0]["accuracy"] == "0.75" and rows[0]["flips"] == ""
    assert rows[2]["flips"] == "12" and rows[2]["told_apart"] == "true"
    assert float(rows[2]["difference"]) == pytest.approx(-0.3)


JOB = TasksJob("demo", parse_settings("8,4"))
IDENTITY = {"model": "m", "requests": "x"}


def test_what_is_scored_is_kept_whatever_becomes_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QFID_DATA_DIR", str(tmp_path))
    with Results("org/demo", IDENTITY) as results:
        results.begin(JOB)
        results.add("4", 3, [(-1.25, True), (-2.0, False)], [(-1.5, True), (-2.5, True)])
        results.add("8", 3, [(-1.25, True)], [(-0.1, False)])
        kept, path = results.scores, results.path
    assert kept == {
        "reference": {3: (-1.25, True), 4: (-2.0, False)},
        "4": {3: (-1.5, True), 4: (-2.5, True)},
        "8": {3: (-0.1, False)},
    }
    file = path / SCORES
    whole = file.read_bytes()
    for damaged in (whole + b"1234 {", whole + whole[:-9], whole + whole.replace(b"-0.1", b"-0.2")):
        file.write_bytes(damaged)
        with Results("org/demo", IDENTITY) as results:
            # The last case holds one whole line more, which says the same, up to the damage.
            assert results.scores == kept
            results.add("8", 4, [(-2.0, False)], [(-7.0, False)])
        with Results("org/demo", IDENTITY) as results:
            assert results.scores["8"] == {3: (-0.1, False), 4: (-7.0, False)}
    with Results("org/demo", {**IDENTITY, "requests": "y"}) as other:
        assert other.scores == {} and other.path != path


def test_two_processes_do_not_write_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QFID_DATA_DIR", str(tmp_path))
    with Results("demo", IDENTITY):
        with pytest.raises(InputError, match="is being written by process"):
            Results("demo", IDENTITY).__enter__()
    with Results("demo", IDENTITY):
        pass


def test_saved_reports_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QFID_DATA_DIR", str(tmp_path))
    assert saved_reports() == []
    report = made_report()
    items = items_csv({"reference": [TaskItems("t", (3,), (2,), (answers([1], [1]),))]})
    with Results("demo", IDENTITY) as results:
        results.save(report, to_markdown(report), items)
    (tmp_path / "tasks" / "broken").mkdir()
    (tmp_path / "tasks" / "broken" / "report.json").write_text("{")
    ((path, found),) = saved_reports()
    assert found == report
    assert read_items(path.name).splitlines() == [
        "task,metric,item,setting,answer,right",
        "t,acc,3,reference,1,true",
    ]


def test_a_job_goes_to_json_and_back() -> None:
    job = TasksJob("demo", parse_settings("8,4@512"), ("a", "b"), 5, batch=3)
    assert TasksJob.from_json(job.to_json()) == job
    assert job.scoring_job(20).chunk_length == 514 and JOB.scoring_job(20).chunk_length == 20
    with pytest.raises(InputError, match="limit of `0`"):
        TasksJob("demo", parse_settings("8"), limit=0)
    with pytest.raises(InputError, match="named twice"):
        TasksJob("demo", (*parse_settings("8"), *parse_settings("8")))
