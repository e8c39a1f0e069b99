"""The gate by intervals that hold together: beyond, not settled, within."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from report_builders import make_facts, make_positions, random_positions, scored

from scorer.report.build import build_report
from scorer.report.gate import gate, lacks_intervals
from scorer.report.tree import Report
from scorer.spec.job import Job
from scorer.spec.settings.registry import parse_settings
from scorer.stats.intervals import Interval, clustered_mean, units_of
from scorer.stats.look_intervals import LookValues, look_intervals
from scorer.stats.noise_floor import NoiseFloor, NoiseOf
from scorer.stats.proportions import proportion
from scorer.stats.student_t import t_quantile
from scorer.stats.summary import summarize

CHUNKS, DEPTH = 160, 150


def report_of(scales: dict[str, float | None], **noise: NoiseFloor) -> Report:
    """A report of settings with KL about a scale and flips of a tenth of it; None: not scored."""
    found = [
        scored(
            name,
            None
            if scale is None
            else random_positions(
                n_chunks=CHUNKS, n_depth=DEPTH, scale=scale, flip_rate=scale, seed=i
            ),
            **noise,
        )
        for i, (name, scale) in enumerate(scales.items())
    ]
    job = Job("m", parse_settings(",".join(scales)), chunk_length=DEPTH + 1)
    facts = make_facts(",".join(scales), job=job, n_chunks=CHUNKS, chunk_length=DEPTH + 1)
    return build_report(facts, found)


def test_any_setting_beyond_a_bound_is_exit_4_whatever_the_others_are() -> None:
    found = gate(report_of({"8": 1e-4, "6": 6.5e-3, "4": 0.2}))
    assert found.exit_code == 4
    assert (list(found.beyond), list(found.open), found.within) == (["4"], ["6"], ("8",))
    first, second, third, _ = found.lines()
    assert first.startswith("beyond a bound of good: `4` (KL mean 0.2")
    assert "nats > 0.01; KL p99 " in first and first.endswith(" % > 1 %)")
    assert second.startswith("not settled as good: `6` (") and " against " in second
    assert third == "settled as good: `8`"


def test_without_one_an_open_setting_is_exit_5_and_none_exit_0() -> None:
    assert gate(report_of({"8": 1e-4, "6": 6.5e-3})).exit_code == 5
    assert gate(report_of({"8": 1e-4, "6": 2e-4})).exit_code == 0
    assert gate(report_of({"8": 1e-4, "6": 6.5e-3}), "marginal").exit_code == 0
    assert gate(report_of({"8": 1e-4, "6": None})).exit_code == 5
    found = gate(report_of({"8": 1e-4, "6": 6.5e-3}), only="8")
    assert (found.exit_code, found.within) == (0, ("8",))


def test_few_units_settle_nothing() -> None:
    positions = random_positions(n_chunks=4, n_depth=DEPTH, scale=0.5)
    report = build_report(make_facts("4", n_chunks=4), [scored("4", positions)])
    found = gate(report)
    assert found.exit_code == 5
    assert list(found.lines()) == [
        "not settled as good: `4` (no intervals)",
        "fewer than 5 independent units settle nothing: over 4 chunks",
    ]


def test_the_intervals_are_those_of_all_settings_and_criteria_together() -> None:
    """Worked out from their definitions, for 2 settings: 1 − 0.05 / 6 each."""
    positions = random_positions(n_chunks=CHUNKS, n_depth=DEPTH, scale=0.02, flip_rate=0.01)
    other = random_positions(n_chunks=CHUNKS, n_depth=DEPTH, seed=1)
    job = Job("m", parse_settings("8,4"), chunk_length=DEPTH + 1)
    facts = make_facts("8,4", job=job, n_chunks=CHUNKS, chunk_length=DEPTH + 1)
    report = build_report(facts, [scored("8", positions), scored("4", other)])
    numbers = report.settings[0].numbers
    assert numbers is not None
    joint = numbers.joint_intervals
    assert joint is not None
    assert joint.confidence == pytest.approx(1 - 0.05 / 6)
    assert joint.n_settings == 2
    sums = summarize(positions).per_chunk
    units = units_of(sums.chunks, facts.documents)
    t = t_quantile(1 - 0.05 / 12, units.count - 1)
    mean = clustered_mean(sums.kl, sums.sizes, units)
    assert mean is not None
    assert joint.kl_mean is not None
    assert joint.kl_mean.low == pytest.approx(mean.mean * math.exp(-t * mean.error / mean.mean))
    assert joint.kl_mean.high == pytest.approx(mean.mean * math.exp(t * mean.error / mean.mean))
    counted = clustered_mean(sums.flips, sums.sizes, units)
    share = proportion(counted, CHUNKS * DEPTH, mean, sum(sums.kl_squares))
    assert share is not None
    assert joint.flip_rate == share.interval(1 - 0.05 / 6)
    # p99: that of a look, over the same units.
    unit_of = np.repeat(np.array(units.of_chunk), DEPTH)
    values = LookValues(positions.kl, unit_of, np.bincount(unit_of))
    assert joint.kl_p99 == look_intervals(sums, values, units, 1 - 0.05 / 6)["kl_p99"]
    assert joint.kl_p99 is not None
    assert joint.kl_p99.low < numbers.kl.p99 < joint.kl_p99.high < 2 * numbers.kl.p99
    assert (
        "2 settings × 3 criteria hold together with 95 % (Bonferroni: 99.17 % each)"
        in list(gate(report).lines())[-1]
    )


def test_rounding_can_leave_a_setting_open() -> None:
    floor = NoiseFloor(repeats=4, kl_mean=NoiseOf(0.01, 0.05))
    assert gate(report_of({"8": 1e-4})).exit_code == 0
    found = gate(report_of({"8": 1e-4}, noise_floor=floor))
    assert (found.exit_code, list(found.open)) == (5, ["8"])


def test_an_infinite_mean_is_beyond() -> None:
    positions = random_positions(n_chunks=CHUNKS, n_depth=DEPTH, scale=1e-4, flip_rate=0.0)
    kl = np.array(positions.kl)
    kl[7] = math.inf
    endless = make_positions(chunk=positions.chunk, position=positions.position, kl=kl)
    job = Job("m", parse_settings("8"), chunk_length=DEPTH + 1)
    facts = make_facts("8", job=job, n_chunks=CHUNKS, chunk_length=DEPTH + 1)
    found = gate(build_report(facts, [scored("8", endless)]))
    (crossing,) = found.beyond["8"]
    assert (crossing.metric, crossing.interval) == ("kl_mean", Interval(math.inf, math.inf))


def test_a_run_that_stopped_brings_its_own_intervals() -> None:
    report = report_of({"8": 1e-4})
    row = report.settings[0]
    assert row.numbers is not None
    ends = dataclasses.replace(
        row.numbers.intervals, simultaneous=True, kl_mean=Interval(0.009, 0.011)
    )
    numbers = dataclasses.replace(row.numbers, intervals=ends, joint_intervals=None)
    stopped = dataclasses.replace(report, settings=(dataclasses.replace(row, numbers=numbers),))
    assert not lacks_intervals(stopped)
    found = gate(stopped)
    (crossing,) = found.open["8"]
    assert (found.exit_code, crossing.interval) == (5, Interval(0.009, 0.011))
    assert "of a run that stops once it is settled" in list(found.lines())[-1]


def test_reports_of_earlier_versions_lack_them() -> None:
    report = report_of({"8": 1e-4, "4": None})
    assert not lacks_intervals(report)
    row = report.settings[0]
    assert row.numbers is not None
    older = dataclasses.replace(row, numbers=dataclasses.replace(row.numbers, joint_intervals=None))
    report = dataclasses.replace(report, settings=(older, report.settings[1]))
    assert lacks_intervals(report)
    assert gate(report).exit_code == 5
