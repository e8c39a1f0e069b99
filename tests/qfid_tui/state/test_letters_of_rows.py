"""Letters in the app: of rows, in notes, in the grid, in the line about the best setting."""

from __future__ import annotations

import dataclasses

from cli_saved_runs import save_run
from workbench_states import workbench

from qfid_tui.state.choices import Choices
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.grid import GridCell
from qfid_tui.state.table_rows import TableRow, table_rows
from qfid_tui.words.about_line import note
from qfid_tui.words.best_setting import best_line
from qfid_tui.words.grid_lines import cell_lines
from qfid_tui.words.setting_headline import headline
from scorer.report.from_run import finished_report
from scorer.report.groups_part import GroupsPart, LetterGroup
from scorer.report.tree import Report


def reported(groups: GroupsPart | None = None) -> tuple[Comparison, Report]:
    run = save_run()
    report = finished_report(run)
    if groups is not None:
        report = dataclasses.replace(report, groups=groups)
    comparison = Comparison(run.job)
    comparison.open(run.id, range(4))
    comparison.take_report(report)
    comparison.phase = "finished"
    return comparison, report


def rows_of(comparison: Comparison) -> dict[str, TableRow]:
    return {row.name: row for row in table_rows(Choices(model="demo"), comparison, None)}


TOGETHER = GroupsPart(
    letters=(
        LetterGroup(letter="a", settings=("8", "4")),
        LetterGroup(letter="b", settings=("4",)),
    ),
    n_pairs=1,
    n_alike=1,
)


def test_rows_have_the_letters_of_the_report() -> None:
    rows = rows_of(reported()[0])
    assert (rows["8"].letters, rows["4"].letters) == ("a", "b")
    assert (rows["8"].alike, rows[""].letters) == ((), "")
    rows = rows_of(reported(TOGETHER)[0])
    assert (rows["8"].letters, rows["4"].letters) == ("a", "ab")
    assert (rows["8"].alike, rows["4"].alike) == (("4",), ("8",))
    assert "not told apart from 4" in note(rows["8"])


def test_there_are_none_before_the_report() -> None:
    comparison, _ = reported()
    comparison.report = None
    assert {row.letters for row in rows_of(comparison).values()} == {""}


def test_the_best_line_names_what_is_cheaper_and_not_told_apart() -> None:
    comparison, report = reported()
    assert report.recommendation is not None

    def said(*alike: str) -> str:
        found = dataclasses.replace(report.recommendation, setting="8", cheaper_alike=alike)  # type: ignore[type-var]
        comparison.report = dataclasses.replace(report, recommendation=found)
        return "".join(text for text, _ in best_line(comparison) or [])

    assert said().startswith("cheapest good setting: 8") and ";" not in said()
    assert said("6").endswith("; 6 costs less and is not told apart from it")
    assert said("6", "5", "4").endswith(
        "; 6, 5 and 1 more cost less and are not told apart from it"
    )


def test_a_cell_of_the_grid_has_its_letters_in_its_last_line() -> None:
    row = rows_of(reported()[0])["8"]
    cell = GridCell("8", "scored", row.figures, letters="ab")
    assert cell_lines(cell, None, 24, 3, "KL")[2] == "  0.00 % flips ab"
    assert cell_lines(cell, None, 24, 1, "KL")[0].count("ab") == 0
    assert workbench(comparison=reported()[0]).has_numbers


def test_the_detail_says_letters_and_key() -> None:
    _, report = reported()
    row = dataclasses.replace(report.settings[0], letters="ab", setting_fingerprint="f" * 12)
    lines = ["".join(text for text, _ in line) for line in headline(row)]
    (group,) = (line for line in lines if line.startswith("group"))
    assert group.split(maxsplit=1)[1] == "ab: not told apart from the same letter"
    (key,) = (line for line in lines if line.startswith("key"))
    assert f"{row.comparability_key}+{'f' * 12}, of all that the figures depend on" in key
