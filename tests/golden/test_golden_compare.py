"""The comparison of two versions finds a changed bit, and passes over times and memory."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from golden_cases import CASES, chosen
from golden_compare import Outcome, compare, read_positions
from golden_figures import SAVED_RUN

KEY = ("k8v4", 1)


@pytest.fixture
def outcome() -> Outcome:
    return Outcome(
        json.loads((SAVED_RUN / "report.json").read_text("utf-8")),
        (SAVED_RUN / "report.md").read_text("utf-8"),
        read_positions(SAVED_RUN / "positions.arrow"),
    )


def with_column(outcome: Outcome, name: str, values: Any) -> Outcome:
    changed = {**outcome.positions[KEY], name: values}
    return replace(outcome, positions={**outcome.positions, KEY: changed})


def test_one_bit_of_one_position_is_found(outcome: Outcome) -> None:
    values = outcome.positions[KEY]["nll_quant"].copy()
    values[7] = np.nextafter(values[7], np.inf)
    (found,) = compare(outcome, with_column(outcome, "nll_quant", values)).found
    assert found.startswith("positions of `k8v4`, chunk 1, column nll_quant: position 7: ")
    assert found.endswith("(1 of 31 differ)")


def test_nan_equals_itself_and_minus_zero_is_not_zero(outcome: Outcome) -> None:
    odd = outcome.positions[KEY]["kl"].copy()
    odd[:3] = np.nan, np.inf, 0.0
    before = with_column(outcome, "kl", odd)
    assert compare(before, with_column(outcome, "kl", odd.copy())).found == []
    minus = odd.copy()
    minus[2] = -0.0
    assert len(compare(before, with_column(outcome, "kl", minus)).found) == 1


def test_a_chunk_and_a_column_that_are_gone_are_found(outcome: Outcome) -> None:
    positions = {key: dict(columns) for key, columns in outcome.positions.items()}
    del positions["8", 0]
    del positions[KEY]["kl"]
    assert compare(outcome, replace(outcome, positions=positions)).found == [
        "positions of `8`, chunk 0: missing",
        "positions of `k8v4`, chunk 1: column kl is missing",
    ]


def test_report_and_markdown_but_for_times_memory_and_version(outcome: Outcome) -> None:
    report = copy.deepcopy(dict(outcome.report))
    row = report["settings"][1]
    row["seconds"], row["peak_memory_bytes"] = 1e3, 7
    report["run"]["device"]["memory"], report["run"]["versions"]["qfid"] = 7, "9.9"
    report["run"]["more"] = 1
    # Every one of these stands in the Markdown.
    shown = outcome.markdown
    for setting in outcome.report["settings"]:
        shown = shown.replace(f"peak {setting['peak_memory_bytes'] / 2**20:.4g} MiB", "peak —")
    version = outcome.report["run"]["versions"]["qfid"]
    shown = shown.replace(" s_\n", "9 s_\n").replace(" GiB\n", "9 GiB\n")
    shown = shown.replace(f"qfid {version},", "qfid 9.9,")
    assert shown.count("peak —") == 2 and shown.count("qfid 9.9,") == 1
    result = compare(outcome, replace(outcome, report=report, markdown=shown))
    assert (result.found, result.added) == ([], ["report run.more"])

    row["kl"]["mean"] = float(np.nextafter(row["kl"]["mean"], 1))
    del row["kl"]["p99"]
    changed = shown.replace("**marginal", "**good", 1).replace("**bad", "**good", 1)
    found = compare(outcome, replace(outcome, report=report, markdown=changed)).found
    assert found[0].startswith("report settings[k8v4].kl.mean: ")
    assert found[1] == "report settings[k8v4].kl.p99 is missing"
    assert found[2].startswith("Markdown line ") and len(found) == 3


def test_cases_are_chosen_by_name_and_by_group() -> None:
    assert {case.group for case in chosen(None)} == {"demo", "real"}
    assert {case.group for case in chosen("gpu")} == {"gpu"}
    assert [case.name for case in chosen("real-mlx,demo-mlx")] == ["demo-mlx", "real-mlx"]
    assert len({case.name for case in CASES}) == len(CASES)
    with pytest.raises(ValueError, match="`none`"):
        chosen("demo,none")
