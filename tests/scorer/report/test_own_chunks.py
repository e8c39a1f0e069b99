"""Every setting's figures rest on all its own chunks, what joins several on those in common."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest
from report_builders import again, built, make_facts, random_positions, scored

from scorer.report.formats.csv_export import to_csv
from scorer.report.formats.markdown import to_markdown
from scorer.spec.job import Job
from scorer.spec.settings.kv import KVSetting
from scorer.stats.positions import Positions


def row_of(report: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (row for row in report["settings"] if row["setting"] == name)
    return found


def test_a_setting_with_fewer_chunks_takes_none_from_the_others() -> None:
    """A comparison is finished, then a width is added and stopped: its figures stay."""
    whole, part = random_positions(), random_positions(chunks=[0, 1, 2, 5], scale=0.2, seed=1)
    alone = built(make_facts("8"), [scored("8", whole)])["settings"][0]
    report = built(make_facts("8,4"), [scored("8", whole), scored("4", part)])
    run, full, few = report["run"], row_of(report, "8"), row_of(report, "4")
    assert run["complete"] is False
    assert run["chunks"] == list(range(12)) == full["chunks"]
    assert (full["n_chunks"], few["n_chunks"]) == (12, 4)
    assert few["chunks"] == [0, 1, 2, 5] and len(few["kl_mean_per_chunk"]) == 4
    assert (full["corpus"]["n_tokens"], few["corpus"]["n_tokens"]) == (12 * 16, 4 * 16)
    for key in ("kl", "kl_by_depth", "flip_rate", "perplexity_ref", "intervals", "verdict_shown"):
        assert full[key] == alone[key], key
    # What is said of both rests on the chunks that both have.
    assert report["comparisons"][0]["n_chunks"] == report["frontiers"][0]["n_chunks"] == 4
    only = whole.select(np.isin(whole.chunk, few["chunks"]))
    difference = only.kl.mean() - part.kl.mean()
    assert report["comparisons"][0]["kl_mean_difference"] == pytest.approx(difference, rel=1e-12)
    assert "covers 4 to 12 of 12 chunks, each setting its own" in run["warnings"][0]
    assert not any("few chunks" in warning for warning in full["warnings"])
    assert any("few chunks" in warning for warning in few["warnings"])


def test_ranks_rest_on_common_chunks() -> None:
    """On the chunks of `6`, which are easy ones, `8` drifts less; over all of its own, more."""
    easy, hard = [0, 1, 2, 3], [4, 5, 6, 7, 8, 9, 10, 11]
    eight = Positions.concatenate(
        [
            random_positions(chunks=easy, scale=0.001),
            random_positions(chunks=hard, scale=0.5, seed=1),
        ]
    )
    six = random_positions(chunks=easy, scale=0.01, seed=2)
    report = built(make_facts("8,6"), [scored("8", eight), scored("6", six)])
    assert row_of(report, "8")["kl"]["mean"] > row_of(report, "6")["kl"]["mean"]
    assert report["frontiers"][0]["settings"] == ["6", "8"]
    assert row_of(report, "8")["beaten_by"] is None


def test_faces_say_how_many_chunks_each_figure_rests_on() -> None:
    settings = [
        scored("8", random_positions()),
        scored("6", random_positions(scale=0.02, seed=1)),
        scored("4", random_positions(chunks=[0, 1, 2, 5], scale=0.2, seed=2)),
    ]
    report = again(built(make_facts("8,6,4"), settings))
    shown = to_markdown(report)
    assert "`8`, `6`: Measured on **wikitext-2-raw/test**: 180 positions of 12 chunks" in shown
    assert "`4`: Measured on **wikitext-2-raw/test**: 60 positions of 4 chunks" in shown
    assert "- stress, over 4 common chunks: " in shown
    assert "own chunks: `8` 12, `6` 12, `4` 4." in shown
    lines = [line for line in shown.splitlines() if line.startswith("| `8` - `6`")]
    assert lines[0].rstrip(" |").endswith("12")
    assert "`4`: ± or (low-high): 95 % interval over 4 chunks" in shown
    rows = list(csv.DictReader(io.StringIO(to_csv(report))))
    assert [row["n_chunks"] for row in rows] == ["12", "12", "4"]
    # Of equal chunks nothing more is said than how many.
    equal = to_markdown(again(built(make_facts("8,6"), settings[:2])))
    assert "Differences paired over 12 chunks" in equal
    assert "- stress, over 12 common chunks: " in equal and "own chunks" not in equal


def test_a_control_that_lacks_a_chunk_does_not_stand_beside_its_setting() -> None:
    job = Job("m", (KVSetting(8, 8),), chunk_length=16, control=True)
    facts = make_facts("8", job=job)
    part = random_positions(chunks=list(range(11)), seed=5)
    row = built(facts, [scored("8", random_positions(), part)])["settings"][0]
    assert row["control_kl"] is None
    assert row["control_note"] == "it was not scored on every chunk that the setting has"
