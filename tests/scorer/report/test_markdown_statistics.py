"""What the Markdown report says of intervals, open verdicts, the noise floor and pairs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from report_builders import by_turns, make_facts, random_positions, scored

from scorer.report.build import build_report
from scorer.report.formats.markdown import to_markdown
from scorer.stats.noise_floor import NoiseFloor, NoiseOf


def page(**changes: Any) -> list[str]:
    report = build_report(make_facts("8"), [scored("8", random_positions(), **changes)])
    return to_markdown(report).splitlines()


def several() -> list[str]:
    settings = [
        scored("8", random_positions()),
        scored("4", random_positions(scale=0.2, seed=1, flip_rate=0.2)),
        scored("k8v4", random_positions(scale=0.02, seed=2, flip_rate=0.03)),
    ]
    return to_markdown(build_report(make_facts("8,4,k8v4"), settings)).splitlines()


def one_line(lines: list[str], start: str) -> str:
    (found,) = (line for line in lines if line.startswith(start))
    return found


@pytest.mark.parametrize(
    ("total", "rest"), [(595, ""), (100, ", more than the 100 of this text leave")]
)
def test_what_is_open_and_what_would_settle_it(total: int, rest: str) -> None:
    # KL means 0.004 and 0.014 by turns; test_build.py has the arithmetic.
    facts, positions = by_turns()
    facts = replace(facts, corpus=replace(facts.corpus, total_chunks=total))
    lines = to_markdown(build_report(facts, [scored("8", positions)])).splitlines()
    assert one_line(lines, "**Verdict:**").startswith("**Verdict:** good? ")
    assert one_line(lines, "- open: KL mean") == (
        "- open: KL mean 0.009 nats, 95 % interval 0.005682 … 0.01232 nats, crosses the bound of "
        f"good (0.01 nats); about 96 more chunks would settle it{rest}"
    )
    assert "about 96 more chunks" in one_line(lines, "**Recommendation:**")


def test_noise_floor() -> None:
    floor = NoiseFloor(
        repeats=8, kl_mean=NoiseOf(1.25e-5, 2.5e-5), flip_rate=NoiseOf(0.0012, 0.0024)
    )
    line = one_line(page(noise_floor=floor), "Noise floor over 8 repeats")
    assert "KL mean 1.25e-05 nats (at most 2.5e-05), flip rate 0.12 % (at most 0.24)" in line
    assert "lower bound of what other arithmetic does" in line
    assert "say next to nothing" not in line
    few = NoiseFloor(repeats=2, kl_mean=NoiseOf(1.25e-5, 4e-4))
    assert "2 repeats say next to nothing" in one_line(page(noise_floor=few), "Noise floor over 2")
    assert not any(line.startswith("Noise floor") for line in page())


def test_what_rounding_can_cause_is_not_ranked() -> None:
    floor = NoiseFloor(repeats=4, kl_mean=NoiseOf(0.1, 0.4))
    names = ["8", "4"]
    found = [
        scored("8", random_positions(), noise_floor=floor),
        scored("4", random_positions(scale=0.2, seed=1), noise_floor=floor),
    ]
    lines = to_markdown(build_report(make_facts(names), found)).splitlines()
    assert one_line(lines, "| `8` - `4`").endswith("| below the noise floor |")
    assert "(`4` and `8` are tied)" in one_line(lines, "- stress, over")
    assert one_line(lines, "**Groups**, the least drift first: a: `8`, `4`. Settings")
    assert any("near the bound of good" in line for line in lines)
    apart = [replace(one, facts=replace(one.facts, noise_floor=None)) for one in found]
    lines = to_markdown(build_report(make_facts(names), apart)).splitlines()
    assert "`8` drifts less" in one_line(lines, "| `8` - `4`")


def test_pairs_say_that_they_are_a_family_and_what_they_speak_for() -> None:
    lines = several()
    assert "speaking for these passages only" in one_line(lines, "**Told apart?**")
    assert "Holm's method at 5 %" in one_line(lines, "3 pairs tested as one family")


def test_a_metric_without_an_interval_is_named() -> None:
    lines = page()
    assert one_line(lines, "**Verdict:**").startswith("**Verdict:** good? ")
    few = "- open: KL p99: fewer than 200 positions give no interval"
    assert one_line(lines, "- open: KL p99") == few
