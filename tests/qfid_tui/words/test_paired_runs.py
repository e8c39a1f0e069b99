"""Two runs of a comparison, paired as by `qfid diff`."""

from __future__ import annotations

import dataclasses

import pytest

from qfid_tui.state.paired_runs import PairedRuns, read_paired
from qfid_tui.words.paired_runs import paired_lines
from scorer.report.formats.inline import columns
from scorer.report.run_diff_part import DiffSide, HowDiffers, RunDiff, SettingDiff, Within
from scorer.stats.intervals import Interval

SIDE = DiffSide(
    run="r", model_id="demo", model_revision=None, device="cpu", arithmetic="a", n_chunks=9
)
ROW = SettingDiff(
    setting="8",
    key_a=None,
    key_b=None,
    n_chunks=9,
    n_positions=90,
    kl_mean_a=0.01,
    kl_mean_b=0.011,
    difference=0.001,
    interval=Interval(0.0005, 0.0015),
    confidence=0.975,
    unit="chunk",
    n_units=9,
    within=0.002,
    outcome="within",
    flips_a=1,
    flips_b=1,
    flips_differ=0,
    top_quant_differs=0,
    top_ref_differs=0,
    perplexity_ref_a=30.0,
    perplexity_ref_b=30.0,
    largest_change=0.1,
)
DIFF = RunDiff(
    a=SIDE,
    b=SIDE,
    text="text",
    corpus_sha256="ab",
    protocol="mqf",
    chunk_length=11,
    how=(HowDiffers(name="device", a="x", b="y"),),
    within=Within(),
    settings=(ROW, dataclasses.replace(ROW, setting="4", outcome="beyond", interval=None)),
)


def said(paired: PairedRuns | None, width: int = 140) -> list[str]:
    return ["".join(text for text, _ in line) for line in paired_lines(paired, width)]


def test_each_setting_has_its_difference_and_where_its_interval_lies() -> None:
    lines = said(PairedRuns(DIFF))
    assert lines[2].strip() == "differs: device"
    rows = [line.split() for line in lines[4:6]]
    assert [(row[0], row[-1]) for row in rows] == [("8", "within"), ("4", "beyond")]
    text = " ".join(lines)
    assert "on 9 common chunks" in text and "± 10 % of run 1's" in text
    assert "looks" not in text
    stopped = said(PairedRuns(dataclasses.replace(DIFF, looks=3)))
    assert "at each of 3 looks" in " ".join(stopped)


@pytest.mark.parametrize("width", [76, 136])
def test_lines_fit(width: int) -> None:
    long = dataclasses.replace(ROW, setting="w=org/a-very-long-name-of-a-repository-8bit+k8v4")
    lines = said(PairedRuns(dataclasses.replace(DIFF, settings=(long,))), width)
    assert max(map(columns, lines)) <= width


def test_what_is_read_or_refused_says_so() -> None:
    assert "pairing the two runs" in said(None)[1]
    gone = read_paired("20200101-000000-a-0000", "20200101-000000-b-0000")
    assert gone.diff is None and "there is no run" in gone.why_not
    assert "Not paired, as `qfid diff` would: " in said(gone)[1]
