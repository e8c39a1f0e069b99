"""Precisions of weights in few words."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from weights_reports import REPO, weights_report

from scorer.report.formats.inline import shell_block
from scorer.report.formats.markdown import to_markdown
from scorer.report.formats.weight_words import group_text, weights_text
from scorer.report.setting_row import SettingRow
from scorer.runs.weight_facts import StoredFormat


def row_of(setting: str, **changes: Any) -> SettingRow:
    row = weights_report(setting).settings[0]
    assert row.weights is not None
    return dataclasses.replace(row, weights=dataclasses.replace(row.weights, **changes))


@pytest.mark.parametrize(
    ("formats", "words", "group"),
    [
        ((("affine", 4, 64),), "4-bit weights", " (group 64)"),
        ((("affine", 4, 64), ("affine", 6, 64)), "mixed 4/6-bit weights", " (group 64)"),
        ((("affine", 8, 32), ("affine", 4, 64)), "mixed 4/8-bit weights", ""),
        ((("mxfp4", 4, 32),), "mxfp4 weights", ""),
        ((("mxfp4", 4, 32), ("affine", 8, 64)), "mixed 4/8-bit weights", ""),
        ((), "16-bit weights, not quantized", ""),
    ],
)
def test_what_is_loaded_names_the_precision(
    formats: tuple[tuple[str, int, int], ...], words: str, group: str
) -> None:
    stored = tuple(StoredFormat(*each, layers=3, parameters=100) for each in formats)
    row = row_of(REPO, formats=stored, bits_per_weight=16.0)
    assert (weights_text(row), group_text(row.weights)) == (words, group)


@pytest.mark.parametrize(
    ("setting", "words"),
    [("w4:32", "4-bit weights"), ("wnvfp4", "nvfp4 weights"), (REPO, "quantized weights")],
)
def test_what_was_never_loaded_is_named_by_its_notation(setting: str, words: str) -> None:
    row = dataclasses.replace(weights_report(setting).settings[0], weights=None)
    assert weights_text(row) == words and group_text(None) == ""


def test_a_predicted_size_and_notes_are_said() -> None:
    report = weights_report(REPO)
    row = row_of(REPO, predicted=True, notes=("Its config says 8 bits.",))
    shown = to_markdown(dataclasses.replace(report, settings=(row,)))
    assert "≈ 75.7 MB once loaded" in shown and "Its config says 8 bits." in shown


def test_commands_stand_on_a_line_each_in_a_fence_they_cannot_end() -> None:
    assert shell_block("a", "b ``` c\nd") == ["````sh", "a", "b ``` c␊d", "````"]
