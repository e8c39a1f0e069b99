"""The relatives of a model, as the process that looks for them answers."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from converted_models import convert, info_of
from tiny_models import write_tiny_model

from scorer.child.relatives import prepare_relatives
from scorer.common.errors import InputError
from scorer.models import relatives_apart
from scorer.models.relatives import find_relatives
from scorer.models.relatives_apart import FoundRelative, read_relatives, to_json


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, the same at 4 bits, and one with a hostile config."""
    made = tmp_path_factory.mktemp("models")
    plain = write_tiny_model(made / "plain", "llama")
    convert(plain, made / "four", 4, 64, dtype="float16")
    (convert(plain, made / "odd", 4, 64) / "config.json").write_text('{"model_type": [[[]]]}')
    return made


class Answering:
    """A process that answers at once."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def __call__(self, argument: str) -> Answering:
        assert argument == "--relatives"
        return self

    def __enter__(self) -> Answering:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def ask(self, request: dict[str, object], what: str, **limits: object) -> None:
        assert set(request) == {"model", "revision"} and limits

    def answer(self, asked: object) -> tuple[object, bytes]:
        return self._answer, b""


def test_the_child_says_name_precision_and_size(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, four = (info_of(folders / name) for name in ("plain", "four"))
    monkeypatch.setattr(
        "scorer.models.relatives.iter_models", lambda: iter([plain, four]), raising=False
    )
    [expected] = find_relatives(plain, [four]).relatives
    work = prepare_relatives()
    head, _ = work({"model": os.fspath(plain.path), "revision": None}, lambda *_: None)
    same = FoundRelative.of(expected.model.name, expected.precision)
    assert head == to_json([same]) and same.bits_per_weight < 8
    # The app reads back what the child says.
    monkeypatch.setattr(relatives_apart, "iter_models", lambda: iter([plain, four]))
    monkeypatch.setattr(relatives_apart, "BoundedProcess", Answering(head))
    assert read_relatives(plain) == (same,)
    monkeypatch.setattr(relatives_apart, "BoundedProcess", Answering({"relatives": [[1]]}))
    with pytest.raises(InputError, match="gave no answer"):
        read_relatives(plain)


def test_no_process_is_started_where_no_config_allows_a_relative(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, four = info_of(folders / "plain"), info_of(folders / "four")
    odd = dataclasses.replace(four, name="odd", path=folders / "odd")
    gone = dataclasses.replace(four, name="gone", path=folders / "gone")
    monkeypatch.setattr(relatives_apart, "BoundedProcess", None)
    monkeypatch.setattr(relatives_apart, "iter_models", lambda: iter([plain, odd, gone]))
    assert read_relatives(plain) == ()
    # A model without a config has none either.
    assert read_relatives(gone) == ()
