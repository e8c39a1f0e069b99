"""A claim of earlier versions that is false is not repeated when their runs are reported."""

from __future__ import annotations

from report_builders import again, built, make_facts, random_positions, scored

from scorer.report.reworded import NOT_THIS_MODEL, ONE_WIDTH, reworded
from scorer.report.rules import by_present_rules

STORED = (
    "mlx-lm holds one width for K and V: no shipped runtime runs this setting",
    "mlx-lm cannot run this setting on this model: no shipped runtime does, and the figure is the "
    "quantizer's",
)


def test_only_what_was_false_is_said_otherwise() -> None:
    assert reworded((*STORED, "another")) == (ONE_WIDTH, NOT_THIS_MODEL, "another")
    assert reworded((ONE_WIDTH, NOT_THIS_MODEL)) == (ONE_WIDTH, NOT_THIS_MODEL)


def test_a_report_says_it_in_the_present_words() -> None:
    setting = scored("k8v4", random_positions(), warnings=STORED)
    report = built(make_facts("k8v4"), [setting])
    own = report["settings"][0]["warnings"][-2:]
    assert own == [ONE_WIDTH, NOT_THIS_MODEL]
    # One that an earlier version has stored is read so too.
    report["settings"][0]["warnings"][-2:] = STORED
    stored = again(report)
    assert stored.settings[0].warnings[-2:] == STORED
    assert by_present_rules(stored).settings[0].warnings[-2:] == (ONE_WIDTH, NOT_THIS_MODEL)
