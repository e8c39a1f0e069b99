"""What can be compared with a model, where its files are odd too."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from converted_models import info_of
from gguf_files import converted
from tiny_models import write_tiny_model
from weights_states import ticked

from qfid_tui.state.choices import MADE, Choices
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.model_reading import read_weights
from qfid_tui.state.table_rows import table_rows
from qfid_tui.state.workbench import WorkbenchState
from qfid_tui.words.grid_lines import answer_lines
from qfid_tui.words.run_lines import run_lines
from scorer.common.errors import InputError, QfidError
from scorer.models.info import ModelInfo
from scorer.models.relatives_apart import FoundRelative
from scorer.spec.settings.weights import MadeWeights, StoredWeights

FOUND = FoundRelative("org/model-4bit", "4 bit", 4.5, 10**6, True)


def no_relatives(monkeypatch: pytest.MonkeyPatch, found: Any = ()) -> None:
    def read(model: ModelInfo, asked: Any) -> Any:
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr("scorer.models.relatives_apart.read_relatives", read)


def workbench(model: ModelInfo) -> WorkbenchState:
    choices = Choices(model=model.name, ticked=(8,), ticked_weights=("w8", "w4"), memory=10**6)
    offer = read_weights(model)
    return WorkbenchState(
        choices, found={model.name: model}, weights={model.path: offer}, reading=False
    )


def test_relatives_come_before_what_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    no_relatives(monkeypatch, (FOUND,))
    typed = (MadeWeights(4, 32), StoredWeights("org/is-not-here"))
    model = ticked().model
    assert model is not None
    offer = read_weights(model, typed)
    keys = [source.key for source in offer.sources]
    assert keys == ["w=org/model-4bit", *(source.key for source in MADE)]
    assert offer.known["w4"].bits_per_weight < offer.known["w4:32"].bits_per_weight
    assert "w=org/is-not-here" in offer.asked and "w=org/is-not-here" not in offer.known


def test_without_relatives_the_rest_is_offered_and_why_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = ticked().model
    assert model is not None
    no_relatives(monkeypatch, InputError("it took too long"))
    assert read_weights(model).trouble == "it took too long" and read_weights(model).sources
    # A wait that was ended is no trouble.
    no_relatives(monkeypatch, QfidError(""))
    assert read_weights(model).trouble == ""


def test_gguf_files_are_offered_from_the_folder_and_where_they_are_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_relatives(monkeypatch, (FOUND,))
    model = info_of(write_tiny_model(tmp_path / "model", "llama"))
    converted(model.path, "F16").write(model.path / "beside.gguf")
    typed = StoredWeights(str(converted(model.path).write(tmp_path / "typed.gguf")))
    (tmp_path / "broken.gguf").write_bytes(b"GGUF")
    broken = StoredWeights(str(tmp_path / "broken.gguf"))
    offer = read_weights(model, (typed, broken))
    names = [source.name for source in offer.sources]
    assert names[:3] == ["model-4bit", "beside.gguf", "w8"]
    assert offer.known[typed.key].precision == "32 bit (float32)"
    assert broken.key in offer.asked and broken.key not in offer.known
    choices = Choices(model=model.name, added=(typed.key, broken.key))
    rows = {row.name: row for row in table_rows(choices, Comparison(), None, (), offer)}
    assert rows[broken.key].unreadable and not rows[typed.key].unreadable
    # Nothing was looked for yet.
    assert not any(row.unreadable for row in table_rows(choices, Comparison(), None))


@pytest.mark.parametrize(
    "change",
    [None, {}, {"hidden_size": "x"}, {"quantization": {"bits": [], "group_size": -1}}, [1]],
    ids=["gone", "as it is", "text", "quantized oddly", "no object"],
)
def test_an_odd_folder_never_breaks_the_list(
    change: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_relatives(monkeypatch)
    model = info_of(write_tiny_model(tmp_path / "model", "llama"))
    config = model.path / "config.json"
    if change is None:
        config.unlink()
    elif isinstance(change, dict):
        config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    else:
        config.write_text(json.dumps(change))
    state = workbench(model)
    names = [row.name for row in state.rows]
    assert {"8", "6", "5", "4", "3", "2", "", "w8", "w4"} <= set(names)
    assert len(state.grid.weights) == 3
    answer_lines(state.grid, state.grid.contexts, any_scored=False)
    run_lines(state)
    if change == {}:
        assert state.offer is not None and not state.offer.reason
        assert all(cell.placed is not None for row in state.grid.cells for cell in row)


def test_weights_of_a_repo_are_left_with_the_model() -> None:
    choices = Choices(model="org/a").ticking(
        dataclasses.replace(ticked().choices.ticked_settings()[-1], source=StoredWeights("o/q")),
        True,
    )
    assert choices.added == ("w=o/q+4",)
    other = choices.for_model("org/b")
    assert (other.model, other.added, other.ticked_added) == ("org/b", (), ())
    # So they are where a run of another model is opened.
    assert choices.of_job(Choices(model="org/b").job()).added == ()
    assert choices.of_job(choices.job()).added == ("w=o/q+4",)
