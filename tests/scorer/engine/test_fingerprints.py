"""A setting whose key names a file: its fingerprint is stored, and checked when a run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import Small, failed, finished, planned, stopped

from scorer.runs.identity import fingerprint_differences
from scorer.runs.listing import find_run, list_runs
from scorer.score import score
from scorer.spec.settings.base import ComputePath
from scorer.spec.settings.grammar import SettingForm
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import KINDS


class Recipe(KVSetting):
    """Bits of keys and values, read from a file when the setting is parsed."""

    __slots__ = ("file",)

    kind = "recipe"

    def __init__(self, form: SettingForm, **_: Any) -> None:
        bits = json.loads(Path(form.recipe).read_text())["bits"]
        super().__init__(bits, bits)
        object.__setattr__(self, "file", form.recipe)

    @property
    def key(self) -> str:
        return f"recipe={self.file}"

    def fingerprint(self) -> Mapping[str, str]:
        return {"content": hashlib.sha256(Path(self.file).read_bytes()).hexdigest()[:12]}


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe of 4 bits; the kind is known as long as the test runs."""

    def parser(form: SettingForm, *, group_size: int, start: int, path: ComputePath) -> Recipe:
        return Recipe(form)

    monkeypatch.setitem(KINDS, "recipe", parser)
    file = tmp_path / "mix.json"
    file.write_text('{"bits": 4}')
    return file


def test_a_setting_of_another_kind_is_stored_and_shown_by_its_key(
    small: Small, recipe: Path
) -> None:
    key = f"recipe={recipe}"
    events = small.score(f"8,{key}")
    report = finished(events).report
    assert planned(events).settings == ["8", key]
    assert [row["setting"] for row in report["settings"]] == ["8", key]
    run = find_run(planned(events).run)
    assert set(run.scored()) == {"8", key}
    digest = hashlib.sha256(recipe.read_bytes()).hexdigest()[:12]
    assert run.facts.settings[key].fingerprint == {"content": digest}
    assert not run.facts.settings["8"].fingerprint
    plain = finished(small.score("4")).report["settings"][0]
    assert report["settings"][1]["kl"] == plain["kl"]


def test_a_run_goes_on_while_the_key_resolves_to_the_same(small: Small, recipe: Path) -> None:
    job = small.job(f"8,recipe={recipe}")
    run = planned(stopped(job, 1)).run
    report = finished(list(score(job, run=run))).report
    assert report["run"]["complete"]


@pytest.mark.parametrize("accept", [False, True])
def test_the_same_key_with_another_fingerprint_is_refused(
    small: Small, recipe: Path, accept: bool
) -> None:
    job = small.job(f"8,recipe={recipe}")
    before = hashlib.sha256(recipe.read_bytes()).hexdigest()[:12]
    run = planned(stopped(job, 1)).run
    stored = (find_run(run).path / "job.json").read_bytes()
    recipe.write_text('{"bits": 4, "note": ""}')
    after = hashlib.sha256(recipe.read_bytes()).hexdigest()[:12]
    event = failed(list(score(job, run=run, accept_changes=accept)))
    assert event.exit_code == 2
    assert event.message == (
        f"setting `recipe={recipe}` of run `{run}` is not what it was: "
        f"content (`{before}`, now `{after}`)"
    )
    assert (find_run(run).path / "job.json").read_bytes() == stored


def test_without_the_kind_the_run_is_listed_with_one_line(
    small: Small, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = planned(small.score(f"recipe={recipe}")).run
    monkeypatch.delitem(KINDS, "recipe")
    (info,) = [info for info in list_runs() if info.id == run]
    assert info.state == "broken" and "\n" not in info.reason
    assert info.reason == (
        f"`job.json` of run `{run}`: setting `recipe={recipe}`: this version does not know "
        "`recipe=`"
    )


@pytest.mark.parametrize(
    ("stored", "now", "found"),
    [
        ({"a": {}}, {"a": {}}, {}),
        ({"a": {"x": "1"}}, {"a": {"x": "1"}}, {}),
        ({"a": {"x": "1"}}, {"b": {"x": "2"}}, {}),
        ({"a": {"x": "1"}}, {"a": {"x": "2"}}, {"a": ["x (`1`, now `2`)"]}),
        ({"a": {}}, {"a": {"x": "2"}}, {}),
        ({"a": {"x": "1"}}, {"a": {}}, {"a": ["x (`1`, now not recorded)"]}),
        ({}, {"a": {"x": "1"}}, {}),
    ],
)
def test_only_settings_that_both_have_can_differ(
    stored: dict[str, Any], now: dict[str, Any], found: dict[str, list[str]]
) -> None:
    assert fingerprint_differences(stored, now) == found
