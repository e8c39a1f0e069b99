"""Runs on several texts and lengths side by side: verdicts, formats, and what is never said."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from typing import Any

import jsonschema
import pytest
from joined_reports import report_on, runs
from page_markup import checked

from qfid_tui.words.joined_lines import joined_lines
from scorer.common.errors import InputError
from scorer.report.formats.joined_markdown import length_bars
from scorer.report.formats.joined_text import joined_schema, joined_text
from scorer.report.joined import JoinedReport, JoinedRow, NotScored
from scorer.report.joining import joined, worst
from scorer.report.standings import NamedReport
from scorer.spec.thresholds import WEIGHTS, Verdict

GOOD, MIDDLE, BAD = 0.0002, 0.05, 2.0


def four() -> JoinedReport:
    return joined(
        runs(
            prose_16={"8": GOOD, "4": MIDDLE},
            prose_64={"8": GOOD, "4": BAD},
            code_16={"8": GOOD, "4": GOOD},
            code_64={"8": GOOD, "4": GOOD},
        )
    )


def test_there_is_a_row_for_each_text_length_and_setting_in_the_order_asked() -> None:
    found = four()
    assert [(row.text, row.chunk_length, row.setting) for row in found.rows] == [
        (text, length, setting)
        for text in ("prose", "code")
        for length in (16, 64)
        for setting in ("8", "4")
    ]
    assert found.texts == ("prose", "code")
    row = found.row("prose", 64, "4")
    assert row.verdict == "bad" and row.run == "run-prose_64" and row.comparability_key
    with pytest.raises(InputError, match="was not scored on `prose` at 17 tokens"):
        found.row("prose", 17, "4")


def test_a_text_has_the_worst_of_its_lengths_and_overall_is_the_worst_text() -> None:
    eight, four_bits = four().settings
    assert [each.verdict for each in four_bits.texts] == ["bad", "good"]
    assert four_bits.texts[0].lengths == (16, 64)
    assert (four_bits.verdict, eight.verdict) == ("bad", "good")
    assert (four_bits.n_rows, four_bits.n_missing) == (4, 0)


def test_the_macro_average_is_the_plain_mean_of_the_rows() -> None:
    found = four()
    means = [row.kl_mean for row in found.rows if row.setting == "4"]
    assert found.settings[1].macro_kl_mean == pytest.approx(sum(m or 0.0 for m in means) / 4)


def row(verdict: Verdict, shown: str) -> JoinedRow:
    return JoinedRow(
        run="r", text="t", chunk_length=16, setting="8", name="8", status="scored", n_chunks=1,
        verdict=verdict, verdict_shown=shown,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("shown", "missing", "wanted"),
    [
        (["good", "good"], 0, "good"),
        (["good", "good?"], 0, "good?"),
        (["good", "good"], 1, "good?"),
        (["marginal", "good"], 0, "marginal"),
        (["marginal", "good?"], 0, "marginal?"),
        (["bad", "good?"], 1, "bad"),
        (["bad?", "good"], 0, "bad?"),
        (["bad?", "bad"], 0, "bad"),
    ],
)
def test_a_worst_verdict_is_settled_only_where_nothing_can_make_it_worse(
    shown: list[str], missing: int, wanted: str
) -> None:
    rows = [row(each.removesuffix("?"), each) for each in shown]  # type: ignore[arg-type]
    assert worst(rows, missing=missing) == (wanted.removesuffix("?"), wanted)


def test_nothing_scored_has_no_verdict() -> None:
    assert worst([]) == (None, None)
    found = joined(runs(prose_16={"8": GOOD, "4": None}))
    assert found.settings[1].verdict is None and found.settings[1].macro_kl_mean is None
    assert found.settings[1].n_missing == 1
    assert "waiting" in joined_text("md", found)


def test_texts_without_a_run_leave_every_verdict_open_and_are_said() -> None:
    lost = NotScored(text="gone.md", chunk_length=16, message="there is no file", hint="look")
    found = joined(runs(prose_16={"8": GOOD}), [lost])
    assert found.settings[0].n_missing == 1
    for format in ("md", "html", "csv", "json"):
        shown = joined_text(format, found)
        assert "gone.md" in shown and "there is no file" in shown


def test_only_runs_of_one_model_and_one_measure_are_joined() -> None:
    one, other = runs(prose_16={"8": GOOD}, code_16={"8": GOOD})
    conditions = {**other.report.run.conditions, "model content": "another"}
    unlike = dataclasses.replace(
        other.report, run=dataclasses.replace(other.report.run, conditions=conditions)
    )
    with pytest.raises(InputError, match="`other` is of another model than `run-prose_16`"):
        joined([one, NamedReport("other", unlike)])
    weights = dataclasses.replace(other.report, verdict_bounds=WEIGHTS)
    with pytest.raises(InputError, match="judged by other bounds"):
        joined([one, NamedReport("other", weights)])
    with pytest.raises(InputError, match="no run"):
        joined([])


def test_unlike_texts_of_one_name_are_told_apart() -> None:
    one = report_on("notes.md", 16, {"8": GOOD})
    corpus = dataclasses.replace(one.run.corpus, sha256="f" * 64)
    two = dataclasses.replace(one, run=dataclasses.replace(one.run, corpus=corpus))
    found = joined([NamedReport("a", one), NamedReport("b", two), NamedReport("c", one)])
    assert len(found.texts) == 2 and found.texts[1] == "notes.md (ffffffff)"
    assert [run.text for run in found.runs] == [found.texts[0], found.texts[1], found.texts[0]]


def test_how_runs_were_computed_is_named_where_it_differs_but_not_text_and_length() -> None:
    found = joined(
        [
            NamedReport("a", report_on("prose", 16, {"8": GOOD})),
            NamedReport("b", report_on("code", 64, {"8": GOOD}, batch=4)),
            NamedReport("c", report_on("code", 64, {"8": GOOD}, **{"mlx version": "9.9"})),
        ]
    )
    assert [run.differs for run in found.runs[:2]] == [(), ()]
    assert found.runs[2].differs == ("mlx version 9.9, not 0.32.4",)
    assert "mlx version 9.9" in joined_text("md", found)


def test_it_is_read_back_from_json_and_valid_against_its_schema() -> None:
    found = dataclasses.replace(
        four(), not_scored=(NotScored(text="x", chunk_length=16, message="m"),)
    )
    infinite = dataclasses.replace(found.rows[0], kl_mean=math.inf, perplexity_delta=math.nan)
    found = dataclasses.replace(found, rows=(infinite, *found.rows[1:]))
    values: dict[str, Any] = json.loads(joined_text("json", found))
    jsonschema.Draft202012Validator(joined_schema()).validate(values)
    again = JoinedReport.from_json(values)
    assert again.rows[1:] == found.rows[1:] and again.rows[0].kl_mean == math.inf
    assert again.settings == found.settings and again.runs == found.runs
    with pytest.raises(InputError, match="no joined report"):
        JoinedReport.from_json({**values, "schema": 99})


def test_every_class_of_it_describes_its_fields() -> None:
    for name, described in joined_schema()["$defs"].items():
        for key, value in described.get("properties", {}).items():
            assert value.get("description"), f"{name}.{key}"


def test_drift_by_length_has_a_bar_for_each_setting_and_length() -> None:
    lines = length_bars(four(), "prose")
    assert len(lines) == 4
    bars = [line.count("█") for line in lines]
    assert bars[3] > bars[2] > bars[0] >= 1
    assert "█" not in joined_text("md", joined(runs(prose_16={"8": GOOD})))


def test_the_csv_has_a_line_for_each_row() -> None:
    rows = list(csv.DictReader(io.StringIO(joined_text("csv", four()))))
    assert len(rows) == 8
    assert {row["chunk_length_tokens"] for row in rows} == {"16", "64"}
    assert rows[0]["corpus_sha256"] and rows[0]["run"] == "run-prose_16"


def test_the_page_holds_the_charts_and_no_markup_of_texts() -> None:
    page = checked(joined_text("html", four()))
    assert page.elements.count("svg") >= 2
    hostile = "<script>alert(1)</script>`|**x**"
    found = joined(
        [NamedReport("a", report_on(hostile, 16, {"8": GOOD}))],
        [NotScored(text=hostile, chunk_length=16, message=hostile, hint=hostile)],
    )
    assert hostile in checked(joined_text("html", found)).text
    assert "<script>" not in joined_text("md", found).replace("\\<script>", "")


def test_intervals_of_a_run_that_stops_once_settled_are_named_in_every_format() -> None:
    one, two = runs(prose_16={"8": GOOD}, code_16={"8": GOOD})
    found = joined([one, two])
    for name in ("md", "html"):
        assert "95 % interval. Texts" in joined_text(name, found)
    settings = tuple(
        dataclasses.replace(
            row,
            numbers=dataclasses.replace(
                row.numbers, intervals=dataclasses.replace(row.numbers.intervals, simultaneous=True)
            ),
        )
        for row in two.report.settings
        if row.numbers is not None
    )
    stopped = NamedReport(two.run, dataclasses.replace(two.report, settings=settings))
    found = joined([one, stopped])
    assert [row.simultaneous for row in found.rows] == [False, True]
    assert JoinedReport.from_json(found.to_json()) == found
    assert "those of `run-code_16` are of a run that stops" in joined_text("md", found)
    assert "are of a run that stops once it is settled" in joined_text("html", found)
    rows = list(csv.DictReader(io.StringIO(joined_text("csv", found))))
    assert [row["simultaneous"].lower() for row in rows] == ["false", "true"]
    shown = ["".join(text for text, _ in line) for line in joined_lines(found, 120)]
    assert any(line.startswith("±: 95 % interval; those of run-code_16") for line in shown)
    assert "±: 95 % interval; they are of a run" in "".join(
        text for line in joined_lines(joined([stopped]), 120) for text, _ in line
    )


def test_nothing_is_ranked_across_texts() -> None:
    words = joined_text("md", four()).lower()
    assert "frontier" not in words and "rank" not in words.replace("nothing is ranked", "")
