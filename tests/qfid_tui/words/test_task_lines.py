"""Results of tasks as lines of the app."""

from __future__ import annotations

from pathlib import Path

import pytest
from task_reports import made_report

from qfid_tui.words.task_lines import task_lines
from scorer.report.formats.inline import columns


def texts(width: int, *reports: object) -> list[str]:
    found = [(Path("/data/tasks/demo-1"), each) for each in reports]
    return ["".join(part for part, _ in line) for line in task_lines(found, width)]  # type: ignore[arg-type]


def test_a_row_says_accuracy_flips_and_what_is_told_apart() -> None:
    lines = texts(76, made_report())
    assert lines[0] == "demo · words · 40 items · the first ones · guessing 25 %"
    (good,) = [line for line in lines if line.startswith("8 ")]
    (bad,) = [line for line in lines if line.startswith("2 ")]
    assert good.split()[:2] == ["8", "75.0"] and good.endswith("not told apart")
    assert bad.split()[:3] == ["2", "45.0", "-30.0"] and bad.endswith("12    0  worse")
    assert any("k8v2 failed: no finite likelihood" in line for line in lines)


def test_without_results_the_command_is_named() -> None:
    assert "`qfid tasks demo --kv-bits 8,4`" in " ".join(texts(76))


@pytest.mark.parametrize("width", [76, 136])
def test_lines_fit_and_are_inert(width: int) -> None:
    for line in texts(width, made_report(task="a\x1b[31m" * 30, model="b\n" * 90)):
        assert columns(line) <= width and "\x1b" not in line and "\n" not in line
