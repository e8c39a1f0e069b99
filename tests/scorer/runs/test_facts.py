"""Facts of a saved run: stored as earlier versions did, read whole or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from project import ROOT
from report_builders import make_facts, stored_facts
from saved_runs import FACTS, IDENTITY, folder_of_runs, job

from scorer.common.errors import InputError
from scorer.runs.facts import FailureFacts, StoredFacts
from scorer.runs.identity import identity_hash
from scorer.runs.listing import Run, find_run, list_runs, new_run
from scorer.runs.run import job_json
from scorer.runs.run_state import RunState, read_state, write_state
from scorer.runs.stored_counts import StoredCounts

STORED = Path(ROOT) / "tests" / "golden" / "saved_run" / "job.json"
"""Written by an earlier version."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return folder_of_runs(tmp_path, monkeypatch)


def test_stored_facts_are_written_again_byte_for_byte() -> None:
    text = STORED.read_text("utf-8")
    data = json.loads(text)
    facts = StoredFacts.from_json(data["facts"])
    assert facts.run is not None and facts.run.corpus.name == "builtin"
    assert facts.run.documents == {0: 0, 1: 0} and facts.settings["k8v4"].kv_method == "affine"
    assert job_json(facts.run.job, facts, data["created"]) == text


def test_facts_survive_json() -> None:
    facts = stored_facts(make_facts("8,k8v4", documents={0: 3, 1: None}, warnings=("w",)))
    assert StoredFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts
    assert "mixed" not in facts.to_json()


def edited(change: Any, **facts: Any) -> Run:
    """A saved run whose facts are changed behind its back."""
    run = new_run(job(), stored_facts(make_facts("8,4"), IDENTITY))
    path = run.path / "job.json"
    data = json.loads(path.read_text())
    data["facts"] |= facts
    change(data["facts"])
    path.write_text(json.dumps(data))
    return find_run(run.id)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda facts: facts["run"].pop("job"), "a saved run's `run` needs a `job`"),
        (lambda facts: facts["run"].update(later=1), "a saved run's `run` has no key `later`"),
        (lambda facts: facts["run"]["corpus"].update(name=3), "`run.corpus.name` has the wrong"),
        (lambda facts: facts["run"].update(chunks=[True]), "`run.chunks.0` has the wrong type"),
        (lambda facts: facts["settings"]["4"].update(same_as=8), "`settings.4.same_as` has the"),
        (lambda facts: facts.update(later=1), "a saved run has no key `later`"),
    ],
)
def test_damaged_facts_are_one_line_and_leave_the_run_listed(change: Any, message: str) -> None:
    run = edited(change, mixed=["batch (`1`, now `2`)"])
    with pytest.raises(InputError) as caught:
        _ = run.facts
    assert caught.value.message.startswith(f"`job.json` of run `{run.id}`: ")
    assert message in caught.value.message and "\n" not in caught.value.message
    (info,) = list_runs()
    assert (info.state, info.settings, info.chunks_planned) == ("unfinished", ("8", "4"), 24)
    readable = run.readable_facts
    assert readable.identity == IDENTITY and readable.run is None and readable.settings == {}
    assert readable.chunks == tuple(range(12)) and readable.mixed == ("batch (`1`, now `2`)",)
    assert run.stored_as("4") == "4"


def test_a_run_is_read_anew_when_it_has_grown() -> None:
    run = new_run(job(), FACTS)
    assert run.facts == FACTS
    run.grow(job("6"), StoredFacts(identity={**IDENTITY, "batch": 8}))
    assert run.facts.identity["batch"] == 8 and run.facts.chunks is None
    assert run.identity == identity_hash(run.facts.identity)


def test_a_state_is_read_back_and_a_damaged_one_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run" / "state.json"
    path.parent.mkdir()
    state = RunState({"4": FailureFacts("E", "m")}, ["8"], StoredCounts(9, {"8": 2}))
    write_state(path, state)
    assert read_state(path) == state
    values = json.loads(path.read_text())
    assert values["failures"] == {"4": {"error": "E", "message": "m", "hint": ""}}
    for spoiled in ({"complete": [1]}, {"counted": []}, {"failures": {"4": {"error": "E"}}}):
        path.write_text(json.dumps(values | spoiled))
        assert read_state(path) == RunState()
    path.write_text(json.dumps(values | {"later": 1}))
    assert read_state(path) == state
    path.unlink()
    assert read_state(path) == RunState()
