"""The report as values: the same JSON byte for byte, stored ones of earlier versions read."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from project import ROOT
from report_builders import again, built, make_facts, random_positions, scored

from scorer.common.errors import InputError
from scorer.report.formats.json_text import report_text
from scorer.report.formats.markdown import to_markdown
from scorer.report.tree import Report
from scorer.runs.facts import FailureFacts
from scorer.stats.positions import Positions

STORED = Path(ROOT) / "tests" / "golden" / "saved_run" / "report.json"
"""Written by an earlier version, of two settings."""


def stored() -> dict[str, Any]:
    values: dict[str, Any] = json.loads(STORED.read_text("utf-8"))
    return values


def only_keys_of(earlier: Any, values: Any) -> Any:
    """The values without the keys that an earlier version did not write."""
    if isinstance(earlier, dict) and isinstance(values, dict):
        return {k: only_keys_of(earlier[k], v) for k, v in values.items() if k in earlier}
    if isinstance(earlier, list) and isinstance(values, list):
        return [only_keys_of(*both) for both in zip(earlier, values, strict=True)]
    return values


def test_a_stored_report_is_written_again_byte_for_byte() -> None:
    report = Report.from_json(stored())
    values = only_keys_of(stored(), report.to_json())
    assert json.dumps(values, indent=1) + "\n" == STORED.read_text("utf-8")
    assert Report.from_json(report.to_json()) == report


def test_the_keys_of_a_report_and_their_order() -> None:
    values = built(make_facts("8"), [scored("8", random_positions())])
    own = ["schema", "rules", "reference", "settings", "comparisons", "frontiers", "recommendation"]
    own += ["verdict_bounds", "run", "indistinct", "units"]
    (row,) = values["settings"]
    assert list(values) == [*own, *row], "one setting stands at the top level too"
    for made, earlier in ((row, stored()["settings"][0]), (values["run"], stored()["run"])):
        assert [key for key in made if key in earlier] == list(earlier)


def infinite(positions: Positions) -> Positions:
    positions.kl[[3, 40]] = math.inf
    return positions


@given(st.sampled_from(["8", "4@5", "k8v4", "4~dequantized"]), st.booleans(), st.integers(0, 3))
def test_what_is_read_is_what_was_made(name: str, endless: bool, failed: int) -> None:
    first = 5 if "@" in name else 0
    positions = random_positions(first=first, n_depth=15 - first)
    failure = FailureFacts("SettingFailed", "NaN", "look") if failed == 1 else None
    settings = [
        scored(name, infinite(positions) if endless else positions),
        scored("6", None if failed == 2 else random_positions(seed=1), failure=failure),
    ]
    values = built(make_facts(f"{name},6"), settings)
    assert again(values).to_json() == values
    assert report_text(again(values)) == json.dumps(values, indent=2) + "\n"


def test_undefined_numbers_are_null_and_nan() -> None:
    values = stored()
    values["settings"][0]["perplexity_delta"] = None
    values["settings"][0]["kl"]["mean"] = "Infinity"
    numbers = Report.from_json(values).settings[0].numbers
    assert numbers is not None and math.isnan(numbers.perplexity_delta)
    assert numbers.kl.mean == math.inf
    assert only_keys_of(values, Report.from_json(values).to_json()) == values


NEWER = ("beaten_by", "on_frontier", "noise_floor", "engagement", "control_note", "kv_context")
NEWER_NUMBERS = ("control_kl", "control_flip_rate", "flips_per_chunk", "kl_mean_per_chunk")


def test_keys_that_an_older_version_did_not_write_take_their_defaults() -> None:
    values = stored()
    for row in values["settings"]:
        for key in (*NEWER, *NEWER_NUMBERS):
            del row[key]
    del values["units"], values["run"]["documents_covered"], values["run"]["corpus"]["n_documents"]
    report = Report.from_json(values)
    row = report.settings[0]
    assert row.numbers is not None and row.numbers.control_kl is None
    assert (row.beaten_by, row.noise_floor, row.engagement, report.units) == (None, None, (), ())
    assert row.numbers.kl.mean == values["settings"][0]["kl"]["mean"]
    assert to_markdown(report).startswith("# KV-fidelity: `demo`")


def test_keys_that_a_newer_version_writes_are_dropped() -> None:
    values = stored()
    for part in (values, values["settings"][0], values["run"], values["run"]["job"]):
        part["later"] = {"x": [1]}
    values["settings"][1]["kl"]["mode"] = 0.0
    assert Report.from_json(values) == Report.from_json(stored())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda report: report.update(schema=2), "schema `2`, not `1`"),
        (lambda report: report.pop("run"), "a report needs a `run`"),
        (lambda report: report["run"].update(batch="1"), "a report's `run.batch` has the wrong"),
        (lambda report: report["settings"].append(3), "a report's `settings.2` must be a JSON"),
        (lambda report: report["settings"][1].pop("kl"), "`settings.1` needs a `kl`"),
        (
            lambda report: report["settings"][0].update(verdict="fine"),
            ".0.verdict` must be one",
        ),
        (lambda report: report["settings"][0].update(status="failed"), "`8` of the report is not"),
        (lambda report: report["settings"][0]["kl"].update(p99="much"), "settings.0.kl.p99` has"),
        (lambda report: report["settings"][0]["kl"].update(p99=10**400), "settings.0.kl.p99` has"),
    ],
)
def test_what_was_edited_is_refused_in_one_line(spoil: Any, message: str) -> None:
    values = copy.deepcopy(stored())
    spoil(values)
    with pytest.raises(InputError) as caught:
        Report.from_json(values)
    assert message in caught.value.message and "\n" not in caught.value.message
