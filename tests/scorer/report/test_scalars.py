"""The single values of a report's rows, by the keys that lead to them in its JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from report_builders import make_facts, random_positions, scored
from weights_reports import weights_report

from scorer.common.errors import InputError
from scorer.report.build import build_report
from scorer.report.row_keys import with_row_keys
from scorer.report.scalars import column_of, columns, scalars
from scorer.report.tree import Report
from scorer.spec.deployment import DeploymentSpec


def report_of(**changes: Any) -> Report:
    rows = [scored("8", random_positions()), scored("4", None)]
    return build_report(make_facts("8,4", **changes), rows)


def leaves(values: Any, prefix: str) -> dict[str, Any]:
    """Every single value of JSON values by the keys that lead to it."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= leaves(value, f"{prefix}{key}.")
        elif not isinstance(value, list):
            found[f"{prefix}{key}"] = value
    return found


def without_files(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if "files." not in name}


@pytest.mark.parametrize("row", [0, 1, 3])
def test_no_single_value_of_the_json_is_missing(row: int) -> None:
    place = DeploymentSpec(memory=1 << 30)
    report = with_row_keys(weights_report(deployment=place), {"chunk length": 16, "x": None})
    values = json.loads(json.dumps(report.to_json()))
    wanted = leaves(values["settings"][row], "")
    wanted |= leaves(values["reference"], "reference.") | leaves(values["run"], "run.")
    found = scalars(report, report.settings[row])
    wanted = without_files(wanted)
    wanted = {name: value for name, value in wanted.items() if value is not None}
    assert set(wanted) <= set(found) and None not in found.values()
    for name, value in wanted.items():
        kind = column_of(name).kind
        if kind == "number" and isinstance(value, str):
            value = float(value)  # JSON has no infinity.
        assert found[name] == (str(value) if kind == "text" else value), name
    cell = report.deployment.cell(report.settings[row].setting)  # type: ignore[union-attr]
    assert cell is not None and found["deployment.cell.total_bytes"] == cell.total_bytes
    assert found["deployment.memory"] == 1 << 30


def test_columns_have_one_name_a_kind_and_a_description() -> None:
    names = [column.name for column in columns()]
    assert len(set(names)) == len(names)
    assert all(column.description for column in columns())
    kinds = {name: column_of(name).kind for name in names}
    assert kinds["kl.mean"] == kinds["intervals.kl_mean.low"] == "number"
    assert kinds["n_chunks"] == kinds["run.job.max_chunks"] == "whole"
    assert kinds["kv_partial"] == kinds["run.job.allow_custom_code"] == "flag"
    assert kinds["verdict"] == kinds["comparability_key"] == "text"
    assert column_of("run.versions.mlx-lm").is_prefix and column_of("kl_quantiles.p99.9").is_prefix
    with pytest.raises(KeyError):
        column_of("nothing")


def test_a_row_without_numbers_has_none() -> None:
    report = report_of()
    found = scalars(report, report.settings[1])
    assert found["status"] == "waiting" and "kl.mean" not in found


def test_what_fits_no_column_is_refused() -> None:
    report = report_of()
    row = dataclasses.replace(report.settings[0], peak_memory_bytes=1 << 63)
    with pytest.raises(InputError, match="`peak_memory_bytes` is too large"):
        scalars(report, row)
    row = dataclasses.replace(report.settings[0], peak_memory_bytes=(1 << 63) - 1, seconds=math.inf)
    assert scalars(report, row)["seconds"] == math.inf
