"""The comparability key stands beside the numbers in every export."""

from __future__ import annotations

import csv
import dataclasses
import io

import pyarrow.parquet as pq
import pytest
from cli_saved_runs import save_run
from report_builders import random_positions
from weights_reports import REPO, weights_report

from qfid_tui.cli import main
from scorer.report.formats.answer import to_answer
from scorer.report.formats.badge import to_badges
from scorer.report.formats.csv_export import positions_csv, to_csv
from scorer.report.formats.html import to_html
from scorer.report.formats.markdown import to_markdown
from scorer.report.formats.model_card import to_model_card
from scorer.report.formats.parquet_export import positions_parquet
from scorer.report.row_keys import with_fingerprints, with_row_keys
from scorer.report.tree import Report
from scorer.spec.deployment import DeploymentSpec

KEY = "0123456789ab"
OWN = REPO


@pytest.fixture(scope="module")
def report() -> Report:
    found = with_row_keys(weights_report(f"8,w6,{OWN}", deployment=DeploymentSpec()), {"a": "b"})
    found = with_fingerprints(found, {OWN: {"content": "ab" * 32, "revision": "main"}})
    rows = tuple(dataclasses.replace(row, comparability_key=KEY) for row in found.settings)
    return dataclasses.replace(found, settings=rows)


def test_what_a_setting_names_is_part_of_the_printed_key(report: Report) -> None:
    kv, made, named = report.settings
    assert (kv.key_text, made.key_text) == (KEY, KEY)
    assert named.setting_fingerprint is not None and len(named.setting_fingerprint) == 12
    assert named.key_text == f"{KEY}+{named.setting_fingerprint}"
    other = with_fingerprints(report, {OWN: {"content": "cd" * 32, "revision": "main"}})
    assert other.settings[2].key_text not in (named.key_text, KEY)
    assert other.settings[2].comparability_key == named.comparability_key
    unknown = dataclasses.replace(named, comparability_key=None)
    assert unknown.key_text is None


@pytest.mark.parametrize("form", [to_markdown, to_model_card, to_badges, to_html])
def test_texts_have_the_key_of_each_row(form: object, report: Report) -> None:
    shown = form(report)  # type: ignore[operator]
    assert KEY in shown
    named = report.settings[2].key_text
    assert named is not None and (named in shown or named.replace("+", "%2B") in shown)


def test_markdown_has_it_beside_the_versions_of_each_setting(report: Report) -> None:
    lines = to_markdown(report).splitlines()
    assert sum(f", key `{KEY}" in line for line in lines if line.startswith("_mlx ")) == 3
    (said,) = (line for line in lines if line.startswith("- Only rows of one key"))
    assert f"Key of `8` (stress): `{KEY}`; of `w6`: `{KEY}`; of " in said
    assert "Behind a `+` stands the content of the weights that a setting names" in said


def test_the_answer_has_the_key_of_what_it_names(report: Report) -> None:
    assert f"; key {KEY}" in to_answer(report, "")


def test_tables_have_it_in_columns(report: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(report))))
    assert [row["comparability_key"] for row in rows] == [KEY] * 3
    assert [bool(row["setting_fingerprint"]) for row in rows] == [False, False, True]


def test_positions_have_it_in_their_last_column() -> None:
    positions = [("8", random_positions(n_chunks=2)), ("4", random_positions(n_chunks=1))]
    keys = {"8": KEY, "4": None}
    rows = list(csv.reader(io.StringIO("".join(positions_csv(positions, keys=keys)))))
    assert rows[0][-1] == "comparability_key"
    assert {(row[0], row[-1]) for row in rows[1:]} == {("8", KEY), ("4", "")}
    table = pq.read_table(io.BytesIO(b"".join(positions_parquet(positions, keys=keys))))
    assert table.column_names[-1] == "comparability_key"
    found = zip(table["setting"].to_pylist(), table["comparability_key"].to_pylist(), strict=True)
    assert set(found) == {("8", KEY), ("4", None)}


def test_positions_of_a_saved_run_have_the_key_of_its_report(
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = save_run("8")
    assert main(["report", run.id, "--format", "positions"]) == 0
    rows = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
    assert main(["report", run.id, "--format", "csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capfd.readouterr().out))
    assert {each["comparability_key"] for each in rows} == {row["comparability_key"]}
    assert len(row["comparability_key"]) == 12
