"""The published schema of reports: every key is described, and reports are valid against it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from project import ROOT
from report_builders import built, make_facts, random_positions, scored
from valid_reports import check_report, strict_schema
from weights_reports import weights_report

from qfid_tui.cli import main
from scorer.report.schema import report_schema
from scorer.spec.deployment import DeploymentSpec

SAVED_RUN = Path(ROOT) / "tests" / "golden" / "saved_run"


def one() -> dict[str, Any]:
    return built(make_facts("8"), [scored("8", random_positions())])


def two() -> dict[str, Any]:
    rows = [scored("8", random_positions()), scored("4", random_positions(scale=0.3))]
    return built(make_facts("8,4"), rows)


def test_it_is_a_schema_with_an_identity_and_a_number() -> None:
    schema = report_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == "urn:qfid:report:1"
    assert schema["$defs"]["Report"]["properties"]["schema"]["const"] == 1


def test_every_key_of_a_report_is_described() -> None:
    for name, definition in report_schema()["$defs"].items():
        assert definition["description"], name
        for key, form in definition.get("properties", {}).items():
            assert form.get("description"), f"{name}.{key}"
            assert "::" not in form["description"] and ":class:" not in form["description"]


@pytest.mark.parametrize("name", ["report.json", "now/report.json"])
def test_a_report_of_an_earlier_version_is_valid(name: str) -> None:
    values = json.loads((SAVED_RUN / name).read_text("utf-8"))
    jsonschema.Draft202012Validator(report_schema()).validate(values)


def test_reports_of_weights_are_valid_to_the_last_key() -> None:
    place = DeploymentSpec(memory=1 << 30, context=2048)
    check_report(weights_report(deployment=place, waiting=("w6",)).to_json())


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.update(schema=2),
        lambda values: values.pop("run"),
        lambda values: values["settings"][0].update(status="done"),
        lambda values: values["settings"][0]["kl"].update(mean="much"),
        lambda values: values["run"]["job"].update(settings=["8", 4]),
        lambda values: values["run"]["versions"].update(mlx=None),
    ],
)
def test_what_is_no_report_is_not_valid(change: Any) -> None:
    values = copy.deepcopy(two())
    change(values)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(report_schema()).validate(values)


@pytest.mark.parametrize("place", ["run", "reference", "settings"])
def test_the_tests_refuse_a_key_that_the_schema_does_not_name(place: str) -> None:
    values = copy.deepcopy(two())
    part = values[place][0] if place == "settings" else values[place]
    part["unnamed"] = 1
    with pytest.raises(AssertionError, match="unnamed"):
        check_report(values)


def test_the_keys_of_the_one_setting_stand_at_the_top_level() -> None:
    check_report(one())
    values = {**one(), "kl": 1}
    errors = jsonschema.Draft202012Validator(strict_schema()).iter_errors(values)
    assert any(error.json_path == "$.kl" for error in errors)
    with pytest.raises(AssertionError):
        check_report({**two(), "kl": two()["settings"][0]["kl"]})


def test_the_command_prints_it(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["report", "--schema"]) == 0
    printed = capfd.readouterr().out
    assert json.loads(printed) == report_schema()
    file = tmp_path / "schema.json"
    assert main(["report", "--schema", "--output", str(file)]) == 0
    assert file.read_text("utf-8") == printed
    assert main(["report", "20261124", "--schema"]) == 2
    assert "the same for every run" in capfd.readouterr().err
