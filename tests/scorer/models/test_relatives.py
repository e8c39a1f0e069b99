"""Cached relatives of a model: the same model in other precisions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from converted_models import convert, edit_config, info_of
from fake_hub_cache import model_files, write_repo
from tiny_models import write_tiny_model

from scorer.models import relatives
from scorer.models.info import ModelInfo
from scorer.models.listing import Unscorable, iter_models
from scorer.models.relatives import find_relatives


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model at full precision, 8, 4 and mixed bits; another architecture; another model."""
    made = tmp_path_factory.mktemp("models")
    plain = write_tiny_model(made / "plain", "llama")
    convert(plain, made / "half", dtype="float16", quantize=False)
    convert(plain, made / "eight", 8, 64)
    convert(plain, made / "four", 4, 64, dtype="float16")
    write_tiny_model(made / "qwen", "qwen2")
    write_tiny_model(made / "deeper", "llama", num_hidden_layers=5)
    convert(plain, made / "broken", 4, 64)
    edit_config(made / "broken", quantization=None, quantization_config=None)
    return made


def test_relatives_come_by_precision_and_others_with_a_reason(folders: Path) -> None:
    names = ["four", "qwen", "plain", "broken", "eight", "deeper", "half"]
    damaged = Unscorable("damaged", "it has config.json but no weights", 0)
    models = [damaged, *(info_of(folders / name) for name in names)]
    found = find_relatives(info_of(folders / "plain"), models)
    assert [each.model.name for each in found.relatives] == ["half", "eight", "four"]
    assert found.relatives[0].precision.line == "16 bit (float16)"
    reasons = {each.name: each.reason for each in found.strangers}
    assert list(reasons) == ["broken", "damaged", "deeper", "qwen"]
    assert reasons["damaged"] == "it has config.json but no weights"
    assert "`num_hidden_layers` is `5`" in reasons["deeper"]
    assert "architecture is `qwen2`" in reasons["qwen"]
    assert "mlx-lm does not load" in reasons["broken"]


def test_a_model_that_vanishes_meanwhile_is_a_stranger(folders: Path, tmp_path: Path) -> None:
    gone = info_of(convert(folders / "plain", tmp_path / "gone", 4, 64))
    for file in gone.path.iterdir():
        file.unlink()
    found = find_relatives(info_of(folders / "plain"), [gone])
    assert not found.relatives and "cannot be read" in found.strangers[0].reason
    # The same of the reference.
    found = find_relatives(gone, [info_of(folders / "plain")])
    assert not found.relatives and "the reference cannot be read" in found.strangers[0].reason


def test_any_trouble_with_a_neighbour_is_its_own(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(relatives, "quick_difference", fails)
    found = find_relatives(info_of(folders / "plain"), [info_of(folders / "four")])
    assert found.strangers[0].reason == "unreadable: ZeroDivisionError"


def test_forty_cached_models_take_less_than_a_second(folders: Path, tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    files = {file.name: file.read_bytes() for file in (folders / "four").iterdir()}
    for i in range(20):
        write_repo(hub, f"org/four-{i}", files)
        write_repo(hub, f"org/other-{i}", model_files())
    reference = info_of(folders / "plain")

    def cached() -> Iterator[ModelInfo | Unscorable]:
        return iter_models(hub)

    assert len(find_relatives(reference, cached()).relatives) == 20
    start = time.thread_time()
    found = find_relatives(reference, cached())
    assert time.thread_time() - start < 1
    assert len(found.strangers) == 20
