"""Weights beside a cache that is quantized later: compared over the positions that both scored."""

from __future__ import annotations

import numpy as np
import pytest
from report_builders import random_positions
from weights_reports import facts_of_run, weights_report

from scorer.report.build import build_report
from scorer.report.formats.markdown import to_markdown
from scorer.report.measured import ScoredSetting
from scorer.runs.facts import SettingFacts
from scorer.spec.settings.registry import parse_settings
from scorer.stats.positions import Positions

DEPTH, START = 60, 20


def positions(scale: float, seed: int, first: int) -> Positions:
    found = random_positions(n_chunks=12, n_depth=DEPTH, scale=scale, seed=seed)
    return found.select(found.position >= first)


def test_the_parts_are_taken_over_the_positions_of_the_pair() -> None:
    parsed = parse_settings(f"w4,8@{START},w4+8@{START}")
    drawn = [positions(0.05, 1, 0), positions(0.01, 2, START), positions(0.2, 3, START)]
    rows = [
        ScoredSetting(setting, SettingFacts(arithmetic="float32"), positions=found)
        for setting, found in zip(parsed, drawn, strict=True)
    ]
    report = build_report(facts_of_run(parsed, None, DEPTH), rows)
    (part,) = report.interactions
    weights, cache, joint = (np.mean(found.kl[found.position >= START]) for found in drawn)
    assert part.weights_kl == pytest.approx(weights) and part.cache_kl == pytest.approx(cache)
    assert part.joint_kl == pytest.approx(joint)
    assert part.interaction == pytest.approx(joint - weights - cache)
    assert part.interval is not None and part.interval.low < part.interaction < part.interval.high
    assert f"from position {START} on, adding the drifts of `w4` and `8@{START}`" in to_markdown(
        report
    )


def test_pairs_from_the_first_token_say_nothing_of_positions() -> None:
    assert "from position" not in to_markdown(weights_report("w4,8,w4+8"))
