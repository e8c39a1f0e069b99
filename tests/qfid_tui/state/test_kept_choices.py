"""The file of choices: what is written is read again, and any file gives choices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfid_tui.state.choices import Choices
from qfid_tui.state.kept_choices import (
    choices_faults,
    choices_file,
    kept_theme,
    load_choices,
    save_choices,
)


def test_choices_last() -> None:
    choices = Choices(
        model="org/x",
        ticked=(2,),
        added=("k8v4",),
        ticked_added=("k8v4",),
        theme="textual-light",
        max_chunks=None,
        keys={"workbench.run": "f5"},
    )
    assert save_choices(choices)
    assert load_choices() == choices
    assert kept_theme() == "textual-light"
    assert not list(choices_file().parent.glob(".*"))


def test_what_is_forced_once_does_not_last() -> None:
    save_choices(Choices(model="org/x", force=True))
    assert not load_choices().force


def test_a_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QFID_DATA_DIR", str(tmp_path / "file"))
    assert not save_choices(Choices())
    assert load_choices() == Choices()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(list(Choices.__dataclass_fields__)), JSON))
def test_a_file_of_anything_gives_choices_that_make_a_job(data: dict[str, Any]) -> None:
    path = choices_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), "utf-8")
    choices = load_choices()
    choices.check()
    choices.offered()


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00", '{"ticked": [8, 8.0, "8"]}'])
def test_a_file_of_nonsense_gives_the_defaults(text: str) -> None:
    choices_file().parent.mkdir(parents=True, exist_ok=True)
    choices_file().write_text(text)
    assert kept_theme() is None
    assert load_choices() == Choices()


@pytest.mark.parametrize("text", ["[]", '{"keys": {"workbench.run": "f5"}, }', "\x00", "\ud800"])
def test_a_file_that_cannot_be_read_is_never_overwritten(text: str) -> None:
    content = text.encode("utf-8", "surrogatepass")
    choices_file().parent.mkdir(parents=True, exist_ok=True)
    choices_file().write_bytes(content)
    (fault,) = choices_faults()
    assert fault.startswith("app.json ") and "stays as it is" in fault
    assert not save_choices(Choices(model="org/x"))
    assert choices_file().read_bytes() == content


def test_what_is_not_understood_stays_in_the_file() -> None:
    stored = {"keys": {"workbench.run": 5}, "later": [1], "ticked": [8], "max_chunks": "all"}
    choices_file().parent.mkdir(parents=True, exist_ok=True)
    choices_file().write_text(json.dumps(stored))
    assert [fault.split("`")[1] for fault in choices_faults()] == ["max_chunks", "keys"]
    assert save_choices(Choices(model="org/x", ticked=(4,), max_chunks=7))
    kept = json.loads(choices_file().read_text())
    assert (kept["keys"], kept["later"]) == (stored["keys"], stored["later"])
    assert (kept["model"], kept["ticked"], kept["max_chunks"]) == ("org/x", [4], 7)


def test_only_what_was_changed_is_written() -> None:
    start = Choices(model="org/old", max_chunks=8)
    assert save_choices(start)
    # Another session, and the user's editor, write while this session is open.
    data = json.loads(choices_file().read_text())
    data |= {"model": "org/newer", "ticked": [2], "own": 1, "keys": {"workbench.run": "f5"}}
    choices_file().write_text(json.dumps(data))
    changed = Choices(model="org/old", max_chunks=16)
    assert save_choices(changed, start)
    kept = json.loads(choices_file().read_text())
    assert kept["max_chunks"] == 16 and kept["own"] == 1
    assert (kept["model"], kept["ticked"]) == ("org/newer", [2])
    assert kept["keys"] == {"workbench.run": "f5"}
    # What was changed here is newer than what another session wrote before.
    assert save_choices(Choices(model="org/mine", max_chunks=16), changed)
    assert json.loads(choices_file().read_text())["model"] == "org/mine"
