"""The command line's options in the choices."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from qfid_tui.cli import command_line as cli
from qfid_tui.state.choices import Choices
from qfid_tui.state.choices_from_arguments import with_arguments
from scorer.common.errors import InputError


def names(settings: Any) -> list[str]:
    return [str(setting) for setting in settings]


def arguments(*words: str) -> argparse.Namespace:
    """The command line as the app gets it."""
    parser = cli._app_parser()
    empty = argparse.Namespace(**dict.fromkeys(cli._names(parser)))
    return parser.parse_args(list(words), empty)


def test_only_what_is_given_wins_over_what_was_kept(tmp_path: Path) -> None:
    kept = Choices(model="org/x", group_size=32, max_chunks=7, chunk_length=256)
    assert with_arguments(kept, arguments()) == kept
    notes = tmp_path / "notes.md"
    words = ["demo", "--kv-group-size", "64", "--corpus", str(notes), "--settings", "8,k8v4"]
    choices = with_arguments(kept, arguments(*words, "--max-chunks", "3", "--chunks", "first"))
    assert (choices.model, choices.group_size, choices.chunk_length) == ("demo", 64, 256)
    assert (choices.corpus, choices.max_chunks, choices.chunks) == (str(notes), 3, "first")
    assert names(choices.ticked_settings()) == ["8", "k8v4"]


def test_bits_are_ticked_at_the_options_given() -> None:
    choices = with_arguments(
        Choices(key_bits=8), arguments("--kv-bits", "3,2", "--kv-group-size", "32")
    )
    assert names(choices.ticked_settings()) == ["3:32", "2:32"]


@pytest.mark.parametrize(
    "words",
    [
        ["--kv-bits", "7"],
        ["--kv-group-size", "9"],
        ["--path", "x"],
        ["--chunk-length", "1"],
        ["--corpus", "-"],
    ],
)
def test_a_wrong_option_is_refused_before_the_app_opens(words: list[str]) -> None:
    with pytest.raises(InputError):
        with_arguments(Choices(), arguments(*words))


def test_a_folder_goes_by_its_path_from_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert with_arguments(Choices(), arguments("model")).model == str(tmp_path / "model")
    assert with_arguments(Choices(), arguments("org/model")).model == "org/model"


def test_weights_of_a_repo_are_kept_for_their_model_only() -> None:
    kept = Choices(model="demo", added=("w=org/q",), ticked_added=("w=org/q",), ticked=())
    assert with_arguments(kept, arguments("demo")).ticked_added == ("w=org/q",)
    assert with_arguments(kept, arguments("org/other")).added == ()
