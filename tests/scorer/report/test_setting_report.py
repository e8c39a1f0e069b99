from __future__ import annotations

import json
import math

import pytest
from report_builders import make_facts, random_positions, scored

from scorer.common.errors import InputError, SettingFailed
from scorer.report.build import build_report
from scorer.report.formats.json_text import report_text
from scorer.report.setting_report import SettingReport
from scorer.report.tree import Report
from scorer.runs.facts import FailureFacts

FAILURE = FailureFacts("SettingFailed", "setting `4`: NaN", "look at it")


def two() -> Report:
    return build_report(
        make_facts("8,4"),
        [scored("8", random_positions()), scored("4", random_positions(scale=0.2, seed=1))],
    )


def test_the_only_setting_needs_no_name() -> None:
    report = build_report(make_facts("8"), [scored("8", random_positions())])
    found = SettingReport.from_report(report, "r1")
    row = report.settings[0]
    numbers = row.numbers
    assert numbers is not None
    assert (found.setting, found.run_id) == ("8", "r1")
    assert found.kl == numbers.kl
    assert found.flip_rate == numbers.flip_rate
    assert (found.verdict, found.verdict_shown) == (numbers.verdict, numbers.verdict_shown)
    assert found.intervals == numbers.intervals
    assert found.intervals.kl_mean is not None
    assert found.intervals.kl_mean.low < found.kl.mean < found.intervals.kl_mean.high
    assert found.perplexity_delta == found.perplexity_quant - found.perplexity_ref
    assert (found.n_chunks, found.n_positions) == (12, 180)
    assert found.to_json() == report.to_json()["settings"][0]
    assert "_row" not in repr(found)


def test_one_of_several_by_name_also_after_a_round_trip() -> None:
    report = Report.from_json(json.loads(report_text(two())))
    assert SettingReport.from_report(report, "r1", "4") == SettingReport.from_report(
        two(), "r1", "4"
    )


@pytest.mark.parametrize("setting", [None, "6", "", "8 "])
def test_no_such_setting(setting: str | None) -> None:
    with pytest.raises(InputError, match="in a report of `8`, `4`"):
        SettingReport.from_report(two(), "r1", setting)


def test_a_failed_setting_raises_what_failed_it() -> None:
    report = build_report(
        make_facts("8,4"),
        [scored("8", random_positions()), scored("4", None, failure=FAILURE)],
    )
    with pytest.raises(SettingFailed, match="NaN") as caught:
        SettingReport.from_report(report, "r1", "4")
    assert caught.value.hint == "look at it"


def test_an_infinite_kl_is_infinity_again() -> None:
    positions = random_positions()
    positions.kl[7] = math.inf
    report = build_report(make_facts("8"), [scored("8", positions)])
    for found in (report, Report.from_json(json.loads(report_text(report)))):
        kl = SettingReport.from_report(found, "r1").kl
        assert (kl.mean, kl.max) == (math.inf, math.inf)
        assert math.isfinite(kl.median)
