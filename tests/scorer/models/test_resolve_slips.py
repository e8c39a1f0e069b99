"""Slips in the name of a model: the answer names what is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_hub_cache import model_files, write_repo

from scorer.common.errors import InputError, ModelNotCached
from scorer.models.hub_cache import hub_folder
from scorer.models.resolve import resolve_model

REPO = "org/model"


@pytest.fixture
def hub() -> Path:
    return hub_folder()


def refused(model: str) -> InputError:
    with pytest.raises(InputError) as caught:
        resolve_model(model)
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize(
    ("asked", "also"),
    [
        ("org/Model", False),
        ("orgg/model", False),
        ("other/model", True),
        ("org/modle", False),
        ("model", False),
        ("ORG/MODEL", False),
    ],
)
def test_a_slip_is_answered_by_what_is_there(hub: Path, asked: str, also: bool) -> None:
    write_repo(hub, REPO, model_files())
    if (hub / f"models--{asked.replace('/', '--')}").exists():
        pytest.skip("file names ignore case here")
    error = refused(asked)
    assert "`org/model` is" in error.message and "qfid kv org/model" in error.hint
    # Another owner's may be meant; what nobody meant is not in a command.
    assert (f"qfid pull {asked}" in error.hint) is also
    assert also or error.hint == "qfid kv org/model"
    assert isinstance(error, ModelNotCached) and error.repo == asked


@pytest.mark.parametrize(
    ("asked", "near"), [("models/smal", "models/small"), ("./models/smal", "./models/small")]
)
def test_a_slip_in_a_path_is_answered_by_the_folder_beside(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, near: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("small", "small-notes"):
        (tmp_path / "models" / name).mkdir(parents=True)
    (tmp_path / "models/small/config.json").write_text("{}")
    error = refused(asked)
    assert f"`{near}` is" in error.message and error.hint == f"qfid kv {near}"
    assert "qfid kv" not in refused(asked.replace("smal", "other")).hint


def test_a_slip_in_the_name_of_the_built_in_model(hub: Path) -> None:
    error = refused("dmeo")
    assert "`demo` is built in" in error.message and error.hint == "qfid kv demo"


def test_what_is_quite_another_name_is_not_suggested(hub: Path) -> None:
    write_repo(hub, REPO, model_files())
    error = refused("some/thing")
    assert error.message.endswith("cache") and "qfid pull" in error.hint
