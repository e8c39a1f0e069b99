"""Weights that fail cost nothing of the others, whatever fails and whenever it does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_models import SMALL, TEXT, write_tiny_model
from tiny_runs import Small, cells, edit_weights, failed, finished, numbers, planned, resumed

from scorer.common.errors import InputError
from scorer.engine.candidates import CandidateWeights
from scorer.engine.turns import STATES, Turns
from scorer.lanes.kept_reference import KeptReference
from scorer.lanes.states import FileStates
from scorer.runs.listing import find_run, list_runs
from scorer.score import score
from scorer.spec.events import ChunkScored, Event, SettingFailedEvent, Warned
from scorer.spec.settings.weights import StoredWeights

MADE = "w8:32,w4:32,w4:32+4,w2:32"
BAD, LENGTH, CHUNK, POSITION = "~", 40, 1, 25


def failures(events: list[Event]) -> dict[str, str]:
    return {e.setting: e.message for e in events if isinstance(e, SettingFailedEvent)}


def broken_load(patch: pytest.MonkeyPatch, name: str, error: BaseException) -> None:
    """Loading these weights raises."""
    read = CandidateWeights.read

    def failing(self: CandidateWeights, *arguments: Any) -> Any:
        if self.name == name:
            raise error
        return read(self, *arguments)

    patch.setattr(CandidateWeights, "read", failing)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("[load_safetensors] cannot read file"), "cannot read file"),
        (FileNotFoundError(2, "No such file or directory", "x"), "No such file"),
        (RuntimeError("[malloc] Unable to allocate 9 bytes"), "Unable to allocate"),
    ],
)
def test_weights_that_do_not_load_are_given_up_with_the_reason(
    small: Small, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    with monkeypatch.context() as patch:
        broken_load(patch, "w4:32", error)
        events = small.score(MADE, one_at_a_time=True)
    assert failures(events).keys() == {"w4:32", "w4:32+4"}
    for message in failures(events).values():
        assert message.startswith("`w4:32` cannot be scored: ") and said in message
    rows = {row["setting"]: row for row in finished(events).report["settings"]}
    assert [rows[name]["n_chunks"] for name in MADE.split(",")] == [2, 0, 0, 2]
    rest = resumed(small.job(MADE, one_at_a_time=True), planned(events).run)
    assert {setting for setting, _ in cells(rest)} == {"w4:32", "w4:32+4"}
    whole = finished(small.score(MADE)).report["settings"]
    assert [row["kl"] for row in finished(rest).report["settings"]] == [r["kl"] for r in whole]


def test_a_setting_that_is_scored_already_stays_scored_when_its_weights_fail(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = planned(small.score("w8:32,w4:32")).run
    broken_load(monkeypatch, "w4:32", RuntimeError("broken"))
    job = small.job("w8:32,w4:32,w4:32+4", one_at_a_time=True)
    events = resumed(job, run)
    assert failures(events).keys() == {"w4:32+4"}
    rows = {row["setting"]: row["status"] for row in finished(events).report["settings"]}
    assert rows == {"w8:32": "scored", "w4:32": "scored", "w4:32+4": "failed"}


def test_weights_that_fail_are_not_loaded_again_at_the_next_look(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    load = CandidateWeights.load

    def counting(self: CandidateWeights, *arguments: Any) -> Any:
        tried.append(self.name)
        if self.name == "w4:32":
            raise RuntimeError("broken")
        return load(self, *arguments)

    monkeypatch.setattr(CandidateWeights, "load", counting)
    monkeypatch.setattr("scorer.engine.looks.drop_sizes", lambda chunks, in_turns: [1, 2])
    events = small.score("w8:32,w4:32", one_at_a_time=True, drop_beaten=True, max_chunks=3)
    assert failures(events).keys() == {"w4:32"}
    assert tried.count("w4:32") == 1
    assert finished(events).report["settings"][0]["status"] == "scored"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("`w4:32` does not load: it lacks a tensor", "download it again"), 2),
        (RuntimeError("[malloc] Unable to allocate 9 bytes"), 3),
    ],
)
def test_together_what_does_not_load_is_refused_in_a_line_and_no_run_is_left(
    small: Small, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    broken_load(monkeypatch, "w4:32", error)
    end = failed(small.score(MADE))
    assert end.exit_code == code and end.message and "\n" not in end.message + end.hint
    assert list_runs() == []


def test_files_that_go_away_while_another_turn_computes(small: Small, tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "copy", "llama", bits=8, **SMALL)
    key = StoredWeights(str(folder)).key
    events: list[Event] = []
    for event in score(small.job(f"w8:32,{key},w2:32", one_at_a_time=True)):
        if isinstance(event, ChunkScored) and folder.exists():
            shutil.rmtree(folder)
        events.append(event)
    last = events[-1]
    # The end says it in a line, and what was scored is kept.
    assert all("\n" not in message for message in failures(events).values())
    stored = find_run(planned(events).run).scored()
    assert set(stored["w8:32"]) == {0, 1}
    if getattr(last, "message", None) is not None:
        assert "\n" not in last.message  # type: ignore[attr-defined]
    else:
        assert failures(events).keys() == {key}


@pytest.mark.parametrize("which", ["reference", "states", "release", "candidate"])
def test_memory_that_runs_out_anywhere_is_gone_on_with(
    small: Small, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    owner, name = {
        "reference": (KeptReference, "begin"),
        "states": (FileStates, "read"),
        "release": (KeptReference, "release_layers"),
        "candidate": (CandidateWeights, "check"),
    }[which]
    real = getattr(owner, name)
    calls = 0

    def short(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2 - (which == "release"):
            raise RuntimeError("[malloc] Unable to allocate 1 bytes")
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, short)
        events = small.score(MADE, one_at_a_time=True, batch=2)
    if which == "candidate":
        assert failures(events).keys() == {"w4:32", "w4:32+4"}
        assert finished(events).report["settings"][3]["status"] == "scored"
        return
    assert any(isinstance(e, Warned) and "memory ran out" in e.message for e in events)
    assert finished(events).complete and not failures(events)
    whole = finished(small.score(MADE)).report["settings"]
    for mine, other in zip(finished(events).report["settings"], whole, strict=True):
        assert mine["kl"] == other["kl"]


def test_memory_that_always_runs_out_ends_in_order(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*_: Any) -> Any:
        raise RuntimeError("[malloc] Unable to allocate 1 bytes")

    with monkeypatch.context() as patch:
        patch.setattr(KeptReference, "release_layers", short)
        events = small.score(f"4,{MADE}", one_at_a_time=True, batch=2)
    assert failed(events).exit_code == 3 and "memory ran out" in failed(events).message
    (info,) = list_runs()
    assert not (info.path / STATES).exists()
    rest = resumed(small.job(f"4,{MADE}", one_at_a_time=True), info.id)
    assert finished(rest).complete and "4" not in {setting for setting, _ in cells(rest)}


def test_states_that_are_gone_are_never_computed_without_layers(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = Turns.release_reference

    def then_gone(self: Turns, probe: Any) -> None:
        release(self, probe)
        shutil.rmtree(self.reference._folder)

    with monkeypatch.context() as patch:
        patch.setattr(Turns, "release_reference", then_gone)
        events = small.score(MADE, one_at_a_time=True)
    error = failed(events)
    assert error.exit_code == 1 and "hidden states are not in" in error.message
    assert "\n" not in error.message
    (info,) = list_runs()
    rest = resumed(small.job(MADE, one_at_a_time=True), info.id)
    assert finished(rest).complete
    expected = numbers(finished(small.score(MADE)).report)["settings"]
    for mine, other in zip(finished(rest).report["settings"], expected, strict=True):
        assert mine["kl"] == other["kl"]


@pytest.fixture
def marked(tmp_path: Path) -> Iterator[Small]:
    """A model and a text with one character that the tests make bad."""
    model = write_tiny_model(tmp_path / "tiny", "llama", head_dim=64, tie_word_embeddings=False)
    place = CHUNK * LENGTH + POSITION
    text = tmp_path / "text.txt"
    text.write_text(f"{TEXT[:place]}{BAD}{TEXT[place + 1 :]}")
    yield Small(model, text)


def spoil(folder: Path, value: float = float("nan")) -> None:
    def edit(weights: dict[str, Any]) -> None:
        name = next(n for n in weights if "embed_tokens" in n and not n.endswith("weight"))
        weights[name][ord(BAD)] = value

    edit_weights(folder, edit)


def spoil_dense(folder: Path) -> None:
    def edit(weights: dict[str, Any]) -> None:
        name = next(name for name in weights if "embed_tokens" in name)
        weights[name][ord(BAD)] = float("nan")

    edit_weights(folder, edit)


@pytest.mark.parametrize("in_turns", [False, True])
def test_weights_that_give_no_number_are_named_with_the_place(
    marked: Small, tmp_path: Path, in_turns: bool
) -> None:
    copy = write_tiny_model(
        tmp_path / "copy", "llama", head_dim=64, tie_word_embeddings=False, bits=8
    )
    spoil(copy)
    key = StoredWeights(str(copy)).key
    settings = f"w4:32,{key},w2:32"
    events = marked.score(settings, chunk_length=LENGTH, max_chunks=3, one_at_a_time=in_turns)
    assert failures(events).keys() == {key}
    message = failures(events)[key]
    assert f"setting `{key}`" in message and "\n" not in message
    assert message.endswith(f"chunk {CHUNK}, position {POSITION}")
    report = finished(events).report
    assert [row["status"] for row in report["settings"]] == ["scored", "failed", "scored"]


@pytest.mark.parametrize("in_turns", [False, True])
def test_a_reference_that_gives_no_number_is_named_with_the_chunk(
    marked: Small, in_turns: bool
) -> None:
    spoil_dense(marked.model)
    events = marked.score(
        "w8:32,w8:32+4", chunk_length=LENGTH, max_chunks=3, one_at_a_time=in_turns
    )
    assert failures(events).keys() == {"w8:32", "w8:32+4"}
    for message in failures(events).values():
        assert f"at chunk {CHUNK}, position " in message and "full-precision" in message
        # Where the reference cannot be run on a part of the chunk, where it shows.
        assert in_turns or message.endswith(f"position {POSITION}")
    assert finished(events).report["settings"][0]["n_chunks"] in (0, 1)
