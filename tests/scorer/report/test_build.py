"""The report as data: keys, which chunks it is about, comparisons, strict JSON, byte stability."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import peer
import pytest
from report_builders import (
    again,
    built,
    by_turns,
    make_facts,
    random_positions,
    scored,
)

from scorer.report.build import UNITS
from scorer.report.formats.csv_export import to_csv
from scorer.report.formats.json_text import report_text
from scorer.report.formats.markdown import to_markdown
from scorer.runs.facts import DeviceFacts, FailureFacts
from scorer.spec.job import Job
from scorer.spec.settings.kv import KVSetting
from scorer.stats.noise_floor import NoiseFloor, NoiseOf

FAILURE = FailureFacts(
    "SettingFailed", "setting `4`: quantization did not engage", "please report it"
)


def one(name: str = "8", **changes: Any) -> dict[str, Any]:
    return built(make_facts(name), [scored(name, random_positions(), **changes)])


def row_of(report: dict[str, Any], name: str) -> dict[str, Any]:
    (row,) = (row for row in report["settings"] if row["setting"] == name)
    return row


# --- keys -----------------------------------------------------------------------------------


def test_one_setting_stands_at_the_top_level_too() -> None:
    report = one()
    row = report["settings"][0]
    assert report["schema"] == 1
    assert peer.KEYS <= row.keys()
    assert {key: report[key] for key in row} == row
    assert set(row["corpus"]) == peer.CORPUS_KEYS
    assert set(row["kl"]) == {"mean", "median", "p99", "max"}
    assert set(row["kl_by_depth"][0]) == {"start", "end", "kl_mean", "kl_p99", "n_positions"}
    assert isinstance(row["kv_layers_skipped"], dict)
    assert row["corpus"]["n_tokens"] == 12 * 16


def test_several_settings_do_not() -> None:
    report = built(
        make_facts("8,4"),
        [scored("8", random_positions()), scored("4", random_positions(scale=0.2, seed=1))],
    )
    assert not peer.KEYS & report.keys()
    assert [row["setting"] for row in report["settings"]] == ["8", "4"]


@pytest.mark.parametrize(
    ("name", "bits", "method", "params"),
    [
        ("8", 8, "stock", {"bits": 8, "group_size": 64}),
        ("4:32@4", 4, "stock", {"bits": 4, "group_size": 32}),
        ("k8v4", None, "affine", {"k_bits": 8, "v_bits": 4, "group_size": 64}),
        ("k16v4:32", None, "affine", {"k_bits": 16, "v_bits": 4, "group_size": 32}),
    ],
)
def test_method_keys(name: str, bits: int | None, method: str, params: dict[str, int]) -> None:
    start = KVSetting.parse(name).start
    positions = random_positions(first=start, n_depth=15 - start)
    row = built(make_facts(name), [scored(name, positions)])["settings"][0]
    assert (row["kv_bits"], row["kv_method"], row["kv_method_params"]) == (bits, method, params)
    assert row["quantize_start"] == start
    assert row["quantize_mode"] == ("deployment" if start else "stress")


def test_every_row_has_the_same_keys() -> None:
    report = built(
        make_facts("8,4,2"),
        [scored("8", random_positions()), scored("4", None, failure=FAILURE), scored("2", None)],
    )
    keys = [set(row) for row in report["settings"]]
    # Rows without numbers have no interval to leave out.
    assert keys[0] - {"joint_intervals"} == keys[1] == keys[2]
    assert [row["status"] for row in report["settings"]] == ["scored", "failed", "waiting"]


def objects(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(found for item in value.values() for found in objects(item))]
    return [found for item in value for found in objects(item)] if isinstance(value, list) else []


def test_no_other_object_looks_like_a_settings_report() -> None:
    several = built(
        make_facts("8,4", job=Job("m", (KVSetting(8, 8), KVSetting(4, 4)), control=True)),
        [
            scored("8", random_positions(), control=random_positions(seed=2)),
            scored("4", random_positions(scale=0.2, seed=1)),
        ],
    )
    for report, own in ((one(), 2), (several, 2)):
        both = [found for found in objects(report) if {"kl", "flip_rate"} <= found.keys()]
        assert len(both) == own
        assert both[0] is report or both[0] is report["settings"][0]


def test_units_are_of_keys_that_exist() -> None:
    report = one(noise_floor=NoiseFloor(repeats=4, kl_mean=NoiseOf(1e-5, 4e-5)))
    assert set(UNITS) <= {key for found in objects(report) for key in found}
    assert report["units"][0] == {"key": "kl", "unit": "nats"}


# --- which chunks ---------------------------------------------------------------------------


def test_a_setting_that_waits_or_failed_takes_no_chunks_away() -> None:
    report = built(
        make_facts("8,4,2"),
        [scored("8", random_positions()), scored("4", None, failure=FAILURE), scored("2", None)],
    )
    assert row_of(report, "8")["n_chunks"] == 12
    assert row_of(report, "4")["failure"] == dataclasses.asdict(FAILURE)
    assert report["run"]["complete"] is False
    assert report["recommendation"]["setting"] == "8"
    assert report["comparisons"] == []


def test_a_failed_setting_leaves_a_run_complete() -> None:
    report = built(
        make_facts("8,4"),
        [scored("8", random_positions()), scored("4", random_positions(), failure=FAILURE)],
    )
    assert report["run"]["complete"] is True
    assert row_of(report, "4")["kl"] is None
    assert row_of(report, "4")["on_frontier"] is False


def test_damaged_positions_fail_their_setting_only() -> None:
    whole, damaged = random_positions(), random_positions(chunks=[0, 1], seed=4)
    damaged.nll_ref[20] = math.nan
    report = built(make_facts("8,4"), [scored("8", whole), scored("4", damaged)])
    failed = row_of(report, "4")
    assert failed["status"] == "failed"
    assert failed["failure"]["message"].startswith("setting `4`: position 5 of chunk 1")
    assert row_of(report, "8")["n_chunks"] == 12


def test_nothing_scored() -> None:
    report = built(make_facts("8,4"), [scored("8", None), scored("4", None)])
    assert report["recommendation"] is None
    assert report["frontiers"] == []
    assert report["run"]["complete"] is False
    json.loads(report_text(again(report)))
    to_markdown(again(report))
    to_csv(again(report))


# --- intervals, comparisons, control --------------------------------------------------------


def test_one_chunk_has_no_interval() -> None:
    facts = make_facts("8,4", n_chunks=1)
    report = built(
        facts,
        [
            scored("8", random_positions(n_chunks=1)),
            scored("4", random_positions(n_chunks=1, seed=1)),
        ],
    )
    ends = row_of(report, "8")["intervals"]
    assert ends["kl_mean"] is ends["kl_p99"] is ends["perplexity_delta"] is None
    assert ends["note"] == "1 chunk gives no interval"
    assert row_of(report, "8")["verdict_open"] == []
    assert report["comparisons"][0]["interval"] is None
    assert report["comparisons"][0]["told_apart"] is None
    assert report["frontiers"][0]["tied"] == []
    lines = to_markdown(again(report)).splitlines()
    assert lines.count("1 chunk gives no interval.") == 2
    assert sum(line.startswith("1 chunk gives no interval. Verdict good:") for line in lines) == 1
    assert not any("they speak for" in line for line in lines)


def test_documents_are_the_unit_from_five_on() -> None:
    for documents, unit in ((4, "chunk"), (5, "document")):
        facts = make_facts("8", documents={i: i % documents for i in range(12)})
        report = built(facts, [scored("8", random_positions())])
        ends = report["settings"][0]["intervals"]
        assert (ends["unit"], ends["n_documents"]) == (unit, documents)
        assert ends["n_units"] == (12 if unit == "chunk" else 5)
        assert ends["label"] == ("these passages only" if unit == "chunk" else "")
        assert report["run"]["documents_covered"] == documents


def test_two_settings_that_cannot_be_told_apart() -> None:
    base = random_positions()
    noise = np.random.RandomState(1).normal(1, 0.3, len(base))
    report = built(
        make_facts("8,6"),
        [scored("8", base), scored("6", replace(base, kl=base.kl * noise))],
    )
    (pair,) = report["comparisons"]
    assert pair["told_apart"] is False
    assert pair["interval"]["low"] < 0 < pair["interval"]["high"]
    assert "not distinguishable on this text" in to_markdown(again(report))


def test_other_starts_are_not_compared() -> None:
    report = built(
        make_facts("4,4@5"),
        [
            scored("4", random_positions(scale=0.2)),
            scored("4@5", random_positions(scale=0.2, first=5, n_depth=10)),
        ],
    )
    assert report["comparisons"] == []
    assert [f["settings"] for f in report["frontiers"]] == [["4"], ["4@5"]]


def control_job(*names: str) -> Job:
    return Job("m", tuple(map(KVSetting.parse, names)), chunk_length=16, control=True)


def test_control_beside_a_deployed_setting() -> None:
    control = random_positions(seed=5)
    facts = make_facts("8", job=control_job("8"))
    row = built(facts, [scored("8", random_positions(), control)])["settings"][0]
    assert row["control_kl"]["mean"] == pytest.approx(control.kl.mean(), rel=1e-12)
    assert row["control_flip_rate"] == control.flips.mean()
    assert row["control_note"] is None


def test_no_control_where_the_arithmetic_is_the_same() -> None:
    facts = make_facts("8,8~dequantized", job=control_job("8", "8~dequantized"))
    rows = [
        scored("8", random_positions()),
        scored("8~dequantized", random_positions(), same_as="8"),
    ]
    report = built(facts, rows)
    deployed, dequantized = report["settings"]
    assert deployed["control_kl"] is deployed["control_flip_rate"] is None
    assert deployed["control_note"].startswith("same arithmetic here")
    assert dequantized["control_note"] == "this setting is the dequantized path itself"
    assert dequantized["same_as"] == "8"
    assert "same arithmetic" in to_markdown(again(report))


# --- what the run was -----------------------------------------------------------------------


def test_the_command_names_the_commit_and_off_the_cpu_the_batch() -> None:
    report = one()
    assert report["run"]["command"] == (
        "qfid kv local-test/SmolLM2 --settings 8 "
        "--revision 0123456789abcdef0123456789abcdef01234567 --chunk-length 16 --chunks first "
        "--max-chunks 12"
    )
    metal = make_facts("8", device=DeviceFacts("metal", "M4"), batch=4)
    report = built(metal, [scored("8", random_positions())])
    assert report["run"]["command"].endswith(" --batch 4")


def test_protocol_sets_where_depth_counts_from() -> None:
    job = Job("m", (KVSetting(8, 8),), protocol="llama.cpp", chunk_length=16)
    facts = make_facts("8", job=job, scored_from=8)
    report = built(facts, [scored("8", random_positions(first=8, n_depth=7))])
    row = report["settings"][0]
    assert [span["end"] for span in row["kl_by_depth"]] == [1, 2, 3, 4, 5, 6, 7]
    assert row["n_positions"] == 12 * 7
    assert report["run"]["scored_from"] == 8
    assert report["run"]["job"]["protocol"] == "llama.cpp"
    assert any("`llama.cpp`" in warning for warning in row["warnings"])


def test_costs() -> None:
    row = one("4")["settings"][0]
    assert row["kv_bytes_per_token"] == 6480
    assert row["kv_bytes_share"] == 6480 / 23040
    assert row["kv_bytes_at_context"] == 6480 * 8192
    assert row["measured_kv_bytes_per_token"] is None


def test_an_open_verdict_names_the_bound_and_the_chunks() -> None:
    """Twelve chunks with KL means of 0.004 and 0.014 by turns, mean 0.009.

    Sample sd 0.005·√(12/11), half-width t(0.975, 11) · 0.005/√11 = 2.2010 · 0.0015076 = 0.0033181,
    so the interval 0.00568 … 0.01232 crosses 0.01. With m chunks the error is 0.0015076 · √(12/m):
    m = 12 · (t · 1.5076)² is 107.2 with t(0.975, 107) = 1.9824, so that 108 chunks are enough.
    """
    facts, positions = by_turns()
    row = built(facts, [scored("8", positions)])["settings"][0]
    assert row["verdict_shown"] == "good?"
    (bound,) = row["verdict_open"]
    assert (bound["metric"], bound["tier"], bound["threshold"]) == ("kl_mean", "good", 0.01)
    assert bound["more_chunks"] == 96
    assert row["verdict_held_by"] == []
