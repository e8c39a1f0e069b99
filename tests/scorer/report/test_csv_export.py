"""CSV of reports and positions: read back whole, never run by a spreadsheet."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_builders import make_facts, make_positions, random_positions, scored

from scorer.common.errors import SettingFailed
from scorer.report.build import build_report
from scorer.report.formats.csv_export import positions_csv, to_csv
from scorer.report.tree import Report
from scorer.runs.facts import FailureFacts
from scorer.spec.job import Job
from scorer.spec.settings.kv import KVSetting

FAILURE = FailureFacts("SettingFailed", "setting `4`: NaN, at 3", "")


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_a_line_per_setting() -> None:
    report = build_report(
        make_facts("8,4,2"),
        [
            scored("8", random_positions()),
            scored("4", None, failure=FAILURE),
            scored("2", random_positions(scale=1.5, seed=1)),
        ],
    )
    eight, four, two = read(to_csv(report))
    row = report.to_json()["settings"][0]
    assert eight["setting"] == "8"
    assert float(eight["kl_mean_nats"]) == row["kl"]["mean"]
    assert float(eight["kl_p99.9_nats"]) == row["kl_quantiles"]["p99.9"]
    assert float(eight["kl_mean_low_nats"]) == row["intervals"]["kl_mean"]["low"]
    assert float(eight["perplexity_delta"]) == row["perplexity_delta"]
    assert float(eight["delta_p_rms_percent"]) == row["delta_p"]["rms"]
    assert eight["kv_bytes_per_token"] == "12240.0"
    assert (eight["status"], four["status"], two["verdict"]) == ("scored", "failed", "bad")
    assert four["error"] == "setting `4`: NaN, at 3"
    assert four["kl_mean_nats"] == four["control_kl_mean_nats"] == four["verdict"] == ""
    assert eight["protocol"] == "mqf"
    assert None not in eight and None not in eight.values()


def test_infinity_is_a_word_that_floats_are_read_from() -> None:
    positions = random_positions()
    positions.kl[3] = math.inf
    (row,) = read(to_csv(build_report(make_facts("8"), [scored("8", positions)])))
    assert float(row["kl_mean_nats"]) == float(row["kl_max_nats"]) == math.inf
    assert row["kl_mean_low_nats"] == ""


def named(model: str, corpus: str = "wikitext-2-raw") -> Report:
    facts = make_facts(
        "8", n_chunks=2, job=Job(model, (KVSetting(8, 8),), chunk_length=16), model_id=model
    )
    facts = replace(facts, corpus=replace(facts.corpus, name=corpus))
    return build_report(facts, [scored("8", random_positions(n_chunks=2))])


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "  =1+1", "＝1", "\t=1", "=cmd|' /C calc'!A0"]
)
def test_formulas_are_text(text: str) -> None:
    (row,) = read(to_csv(named(text)))
    assert row["model_id"][0] in "'␉"
    assert row["model_id"].removeprefix("'").replace("␉", "\t") == text


@given(st.text(st.characters(codec=None), max_size=30), st.text(max_size=30))
def test_foreign_text_stays_in_its_cell(model: str, corpus: str) -> None:
    text = to_csv(named(model, corpus))
    assert text.count("\n") == 2
    text.encode()
    (row,) = read(text)
    assert None not in row and None not in row.values()
    for cell in (row["model_id"], row["corpus"]):
        assert not cell.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))
        assert not any(ord(c) < 0x20 for c in cell)


def test_numbers_are_numbers_also_below_zero() -> None:
    positions = random_positions()
    better = replace(positions, nll_quant=positions.nll_ref * 0.9)
    (row,) = read(to_csv(build_report(make_facts("8"), [scored("8", better)])))
    assert float(row["perplexity_delta"]) < 0
    assert not row["perplexity_delta"].startswith("'")


def test_positions_in_order_with_their_units() -> None:
    positions = make_positions(
        chunk=[1, 0, 0],
        position=[0, 1, 0],
        kl=[0.5, math.inf, -1e-9],
        nll_ref=[math.log(2), math.log(4), 0.0],
        nll_quant=[math.log(4), math.log(2), 0.0],
        flips=[True, False, False],
        top_p=[0.5, 0.25, 1.0],
    )
    rows = read("".join(positions_csv([("k8v4", positions)])))
    assert [(r["setting"], r["chunk"], r["position"], r["token"]) for r in rows] == [
        ("k8v4", "0", "0", "2"),
        ("k8v4", "0", "1", "1"),
        ("k8v4", "1", "0", "0"),
    ]
    assert [r["kl_nats"] for r in rows] == ["-1e-09", "inf", "0.5"]
    assert [float(r["delta_p_percent"]) for r in rows] == pytest.approx([0, 25, -25])
    assert [r["flip"] for r in rows] == ["0", "0", "1"]
    assert [(r["top_ref"], r["top_quant"]) for r in rows][2] == ("5", "6")
    assert [float(r["top_ref_p"]) for r in rows] == pytest.approx([1, 0.25, 0.5])


@given(
    st.lists(
        st.tuples(st.floats(0, allow_nan=False), st.floats(0, 1e3), st.floats(0, 1e3)),
        min_size=1,
        max_size=20,
    )
)
def test_positions_are_read_back_bit_for_bit(values: list[tuple[float, float, float]]) -> None:
    kl, ref, quant = (np.array(column) for column in zip(*values, strict=True))
    n = len(values)
    positions = make_positions(
        chunk=[0] * n, position=range(n), kl=kl, nll_ref=ref, nll_quant=quant
    )
    rows = read("".join(positions_csv([("8", positions)])))
    assert [float(r["kl_nats"]) for r in rows] == kl.tolist()
    assert [float(r["nll_ref_nats"]) for r in rows] == ref.tolist()
    assert [float(r["nll_quant_nats"]) for r in rows] == quant.tolist()


def test_many_positions_and_settings_cross_the_block() -> None:
    found = random_positions(n_chunks=3, n_depth=2000)
    none = found.select(slice(0, 0))
    rows = read("".join(positions_csv([("8", found), ("6", none), ("4", found)])))
    assert len(rows) == 12_000
    assert [row["setting"] for row in rows[5999:6001]] == ["8", "4"]
    assert [float(row["kl_nats"]) for row in rows[:6000]] == found.kl.tolist()


def test_damaged_positions_are_not_exported() -> None:
    positions = random_positions()
    positions.nll_ref[4] = math.nan
    with pytest.raises(SettingFailed, match="position 4 of chunk 0"):
        list(positions_csv([("8", positions)]))
