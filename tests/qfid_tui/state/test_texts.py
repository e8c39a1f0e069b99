"""Several texts and lengths in the app: lists, turns, and which runs hold them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from qfid_tui.state.choices import Choices
from qfid_tui.state.next_run import SavedRun
from qfid_tui.state.run_options import OPTIONS, put, step, value_of
from qfid_tui.state.text_turns import open_turns, runs_side_by_side
from qfid_tui.state.texts import at_turn, lengths_of, texts_of, turn, turns
from qfid_tui.state.workbench import WorkbenchState
from scorer.common.errors import InputError

TEXT = next(option for option in OPTIONS if option.field == "corpus")
LENGTH = next(option for option in OPTIONS if option.field == "chunk_length")


def chosen() -> Choices:
    assert TEXT.typed is not None and LENGTH.typed is not None
    choices = put(Choices(model="demo"), TEXT, TEXT.typed("builtin, code"))
    return put(choices, LENGTH, LENGTH.typed("64,128"))


def test_typed_lists_are_turns() -> None:
    choices = chosen()
    assert (texts_of(choices), lengths_of(choices)) == (("builtin", "code"), (64, 128))
    assert turns(choices) == [("builtin", 64), ("builtin", 128), ("code", 64), ("code", 128)]
    assert turn(choices) == ("builtin", 64)
    assert value_of(choices, TEXT) == ("builtin", "code")
    assert TEXT.shown(value_of(choices, TEXT)) == "built-in text + code text"
    assert LENGTH.shown(value_of(choices, LENGTH)) == "64 + 128"
    job = at_turn(choices, ("code", 128)).job()
    assert (job.corpus.source, job.chunk_length) == ("code", 128)


def test_one_value_ends_a_list() -> None:
    choices = put(chosen(), TEXT, "code")
    assert texts_of(choices) == ("code",) and value_of(choices, TEXT) == "code"
    assert lengths_of(step(choices, LENGTH, 1, None)) in ((128,), (256,))


def test_a_file_with_a_comma_is_one_text(tmp_path: Path) -> None:
    assert TEXT.typed is not None
    path = tmp_path / "a,b.md"
    path.write_text("x")
    assert TEXT.typed(str(path)) == str(path)
    escaped = str(path).replace(",", "\\,")
    assert TEXT.typed(f"{escaped},code") == (str(path), "code")
    with pytest.raises(InputError, match="there is no file `gone"):
        TEXT.typed(f"code,{tmp_path}/gone.md"[: len("code,")] + "gone.md")
    assert TEXT.typed("hf:org/name:test:text") == "hf:org/name:test:text"


def test_scored_texts_are_passed_over_and_set_side_by_side() -> None:
    choices = chosen()
    conditions = [at_turn(choices, each).job().conditions for each in turns(choices)]
    keys = tuple(setting.key for setting in choices.ticked_settings())
    saved = (
        SavedRun("new", conditions[2], keys, scored=keys),
        SavedRun("old", conditions[2], keys, scored=keys),
        SavedRun("half", conditions[0], keys),
    )
    state = WorkbenchState(choices, saved=saved)
    assert open_turns(state) == [("builtin", 64), ("builtin", 128), ("code", 128)]
    found = runs_side_by_side(state)
    assert found.runs == ("half", "new")
    assert found.missing == (("builtin", 128), ("code", 128))
    later = state.changed(choices=at_turn(choices, ("code", 128)))
    assert open_turns(later)[0] == ("code", 128)


def test_a_run_of_fewer_chunks_stands_for_its_text() -> None:
    """As where chunks were added to the run of one text alone."""
    choices = dataclasses.replace(chosen(), lengths=(), max_chunks=14)
    jobs = [at_turn(choices, each).job() for each in turns(choices)]
    fewer = dataclasses.replace(jobs[0], max_chunks=10)
    keys = tuple(setting.key for setting in choices.ticked_settings())
    saved = (
        SavedRun("first", fewer.conditions, keys, scored=keys, job=fewer),
        SavedRun("second", jobs[1].conditions, keys, scored=keys, job=jobs[1]),
    )
    state = WorkbenchState(choices, saved=saved)
    assert open_turns(state) == [("builtin", 64)]
    found = runs_side_by_side(state)
    assert (found.runs, found.missing) == (("first", "second"), ())


def test_one_text_at_one_length_is_not_joined() -> None:
    state = WorkbenchState(Choices(model="demo"))
    assert runs_side_by_side(state).runs == ()
    # A text that is none of the list stands alone: a saved run was opened.
    other = dataclasses.replace(chosen(), corpus="wikitext2")
    assert texts_of(other) == ("wikitext2",)
