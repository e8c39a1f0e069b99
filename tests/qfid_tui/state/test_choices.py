"""What is chosen: rows and ticks, the job they make, and that they last."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfid_tui.cli import command_line as cli
from qfid_tui.state.choices import (
    Choices,
    apply_arguments,
    load_choices,
    same_conditions,
    save_choices,
)
from qfid_tui.state.kept_choices import choices_file, kept_theme
from scorer.common.errors import InputError
from scorer.spec.settings.kv import KVSetting


def names(settings: Any) -> list[str]:
    return [str(setting) for setting in settings]


def test_eight_six_and_four_bits_on_32_spread_chunks_are_ticked_at_first() -> None:
    choices = Choices()
    assert names(choices.offered()) == ["8", "6", "5", "4", "3", "2"]
    assert names(choices.ticked_settings()) == ["8", "6", "4"]
    job = Choices(model="org/model").job()
    assert (job.chunks, job.max_chunks, job.corpus.source) == ("spread", 32, "wikitext2")
    assert Choices(model="demo").job().corpus.source == "builtin"


def test_options_move_the_rows_and_ticks_move_along() -> None:
    choices = Choices(group_size=32, key_bits=8, start=64, path="dequantized")
    assert names(choices.ticked_settings()) == [
        "8:32@64~dequantized",
        "k8v6:32@64~dequantized",
        "k8v4:32@64~dequantized",
    ]
    choices.key_bits = 16
    assert names(choices.offered())[0] == "k16v8:32@64~dequantized"


def test_ticking_untickling_adding_and_removing() -> None:
    choices = Choices()
    choices.tick(KVSetting(3, 3), True)
    choices.tick(KVSetting(8, 8), False)
    assert names(choices.ticked_settings()) == ["6", "4", "3"]
    mixed = KVSetting.parse("k8v4:32")
    choices.tick(mixed, True)
    assert names(choices.offered())[-1] == "k8v4:32" and choices.is_ticked(mixed)
    choices.tick(mixed, False)
    assert not choices.is_ticked(mixed) and mixed in choices.offered()
    assert choices.remove(mixed) and mixed not in choices.offered()
    assert not choices.remove(mixed)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": None}, "no model"),
        ({"ticked": []}, "no setting"),
        ({"chunk_length": 1}, "chunk length"),
        ({"start": 600}, "start 600"),
    ],
)
def test_what_makes_no_job_is_said(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Choices(**{"model": "demo", **changes}).job()


def test_a_job_is_adopted_whole() -> None:
    choices = Choices(model="org/x", group_size=32, max_chunks=5, noise_floor=4, corpus="/a.txt")
    choices.tick(KVSetting.parse("k8v4"), True)
    job = choices.job()
    other = Choices(chunk_length=128)
    other.adopt(job)
    assert set(other.job().settings) == set(job.settings)
    assert same_conditions(other.job(), job)
    other.max_chunks = 6
    assert not same_conditions(other.job(), job)


def test_choices_last() -> None:
    choices = Choices(model="org/x", ticked=[2], added=["k8v4"], ticked_added=["k8v4"])
    choices.theme, choices.max_chunks = "textual-light", None
    assert save_choices(choices)
    assert load_choices() == choices
    assert kept_theme() == "textual-light"
    assert not list(choices_file().parent.glob(".*"))


def test_consent_to_run_foreign_code_does_not_last() -> None:
    save_choices(Choices(model="org/x", allow_custom_code=True, force=True))
    assert not load_choices().allow_custom_code and not load_choices().force


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


def arguments(*words: str) -> argparse.Namespace:
    """The command line as the app gets it."""
    parser = cli._app_parser()
    empty = argparse.Namespace(**dict.fromkeys(cli._names(parser)))
    return parser.parse_args(list(words), empty)


def test_only_what_is_given_wins_over_what_was_kept(tmp_path: Path) -> None:
    kept = Choices(model="org/x", group_size=32, max_chunks=7, chunk_length=256)
    choices = Choices(**vars(kept))
    apply_arguments(choices, arguments())
    assert choices == kept
    notes = tmp_path / "notes.md"
    words = ["demo", "--kv-group-size", "64", "--corpus", str(notes), "--settings", "8,k8v4"]
    apply_arguments(choices, arguments(*words, "--max-chunks", "3", "--chunks", "first"))
    assert (choices.model, choices.group_size, choices.chunk_length) == ("demo", 64, 256)
    assert (choices.corpus, choices.max_chunks, choices.chunks) == (str(notes), 3, "first")
    assert names(choices.ticked_settings()) == ["8", "k8v4"]


def test_bits_are_ticked_at_the_options_given() -> None:
    choices = Choices(key_bits=8)
    apply_arguments(choices, arguments("--kv-bits", "3,2", "--kv-group-size", "32"))
    assert names(choices.ticked_settings()) == ["3:32", "2:32"]


@pytest.mark.parametrize(
    "words",
    [["--kv-bits", "7"], ["--kv-group-size", "9"], ["--path", "x"], ["--chunk-length", "1"]],
)
def test_a_wrong_option_is_refused_before_the_app_opens(words: list[str]) -> None:
    with pytest.raises(InputError):
        apply_arguments(Choices(), arguments(*words))


def test_a_folder_goes_by_its_path_from_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    choices = Choices()
    apply_arguments(choices, arguments("model"))
    assert choices.model == str(tmp_path / "model")
    apply_arguments(choices, arguments("org/model"))
    assert choices.model == "org/model"
