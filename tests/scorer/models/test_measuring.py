"""Models are measured in a child process, many in one, and what fails costs only itself."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from fake_hub_cache import model_files, write_folder, write_repo
from tiny_configs import tiny_config

from scorer.models import kept_geometry, measuring
from scorer.models.hub_cache import hub_folder
from scorer.models.info import ModelInfo
from scorer.models.kept_geometry import folder_key, recall
from scorer.models.listing import Unscorable, list_models
from scorer.models.measuring import measure_folders, measured_models
from scorer.models.resolve import resolve_model

# What an architecture that is read by its own names needs.
MAMBA = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "state_size": 16,
    "conv_kernel": 4,
    "use_bias": False,
    "use_conv_bias": True,
    "time_step_rank": 8,
    "vocab_size": 300,
    "model_type": "mamba",
}


def test_models_of_a_cache_are_measured_in_one_child(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = hub_folder()
    write_repo(hub, "org/llama", model_files())
    write_repo(hub, "org/latent", model_files(tiny_config("deepseek_v3")))
    write_repo(hub, "org/state-space", model_files(MAMBA))
    write_repo(hub, "org/cut", model_files(num_hidden_layers=None))
    write_repo(hub, "org/eighty", model_files(head_dim=80))
    listed = list_models().scorable
    assert len(listed) == 5 and not any(model.geometry.exact for model in listed)

    children: list[object] = []
    popen = measuring.subprocess.Popen

    def counted(*args: object, **more: object) -> object:
        children.append(args)
        return popen(*args, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(measuring.subprocess, "Popen", counted)
    found = {model.name: model for model in measured_models(listed)}
    assert len(children) == 1 and found.keys() == {model.name for model in listed}
    llama, latent = found["org/llama"], found["org/latent"]
    assert isinstance(llama, ModelInfo) and llama.geometry.exact
    assert llama.kv_bytes_per_token_16bit == 23_040
    assert isinstance(latent, ModelInfo) and latent.geometry.layers[0].kind == "latent"
    mamba, cut = found["org/state-space"], found["org/cut"]
    assert isinstance(mamba, Unscorable) and "keeps no keys and values" in mamba.reason
    assert isinstance(cut, Unscorable) and "missing" in cut.reason and "\n" not in cut.reason
    eighty = found["org/eighty"]
    assert isinstance(eighty, Unscorable) and "divides heads of 80 elements" in eighty.reason

    # Another process finds it all kept, and measures nothing.
    kept_geometry._known.clear()
    again = list_models()
    assert {model.name for model in again.scorable} == {"org/llama", "org/latent"}
    assert {repo.name for repo in again.unscorable} == {"org/state-space", "org/cut", "org/eighty"}
    assert list(measured_models(again.scorable)) == [] and len(children) == 1


def custom(folder: Path, source: str) -> Path:
    files = model_files(tiny_config("llama") | {"model_file": "own.py"})
    return write_folder(folder, files | {"own.py": source.encode()})


def test_one_that_ends_the_child_costs_only_itself(tmp_path: Path) -> None:
    good = write_folder(tmp_path / "good", model_files())
    other = write_folder(tmp_path / "other", model_files(hidden_size=1152))
    killer = custom(tmp_path / "killer", "import os; os.abort()")
    requests = [(killer, True), (good, False), (killer, True), (other, False)]
    said = list(measure_folders(requests))
    assert said[1] == said[3] == "" and "could not be measured" in said[0] == said[2]
    assert recall(folder_key(good)) is not None and recall(folder_key(other)) is not None
    assert recall(folder_key(killer, "own.py")) is None


def test_one_that_does_not_end_is_waited_for_so_long(tmp_path: Path) -> None:
    endless = custom(tmp_path / "endless", "import time; time.sleep(99)")
    good = write_folder(tmp_path / "good", model_files())
    said = list(measure_folders([(good, False), (endless, True), (good, False)], patience=5))
    assert [bool(line) for line in said] == [False, True, False]


def test_code_of_its_own_does_not_run_unasked(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    model = custom(tmp_path / "model", f"open({str(ran)!r}, 'w')")
    (said,) = measure_folders([(model, False)])
    assert "code of its own" in said and not ran.exists()


def test_too_much_memory_is_one_line(tmp_path: Path) -> None:
    source = "held = bytearray(8 << 30)\nfrom mlx_lm.models.llama import Model, ModelArgs\n"
    model = custom(tmp_path / "model", source)
    if sys.platform != "linux":
        pytest.skip("only Linux counts what is allocated")
    (said,) = measure_folders([(model, True)])
    assert "MemoryError" in said or "memory" in said


def test_a_child_that_cannot_be_started_or_says_nothing_is_not_asked_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [(write_folder(tmp_path / str(n), model_files()), False) for n in range(5)]
    monkeypatch.setattr(measuring, "COMMAND", ("/no/such/program",))
    assert len(list(measure_folders(folders))) == 2
    monkeypatch.setattr(measuring, "COMMAND", (sys.executable, "-c", "pass"))
    assert len(list(measure_folders(folders))) == 2
    for answer in ("gibberish", "{}", '{"key": 1, "outcome": {}}'):
        child = (sys.executable, "-c", f"print({answer!r})")
        monkeypatch.setattr(measuring, "COMMAND", child)
        assert "no answer that can be read" in next(iter(measure_folders(folders)))


def test_it_stops_when_asked_to(tmp_path: Path) -> None:
    endless = custom(tmp_path / "endless", "import time; time.sleep(99)")
    began = time.monotonic()
    list(measure_folders([(endless, True)] * 3, lambda: time.monotonic() - began > 1))
    assert time.monotonic() - began < 20


def test_the_weights_are_not_looked_at(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", model_files())
    weights = (folder / "model.safetensors").rename(folder / "away")
    assert list(measure_folders([(folder, False)])) == [""]
    weights.rename(folder / "model.safetensors")
    assert resolve_model(str(folder)).geometry.exact


def test_the_child_says_one_json_object_a_model(tmp_path: Path) -> None:
    import subprocess

    folder = write_folder(tmp_path / "model", model_files())
    request = json.dumps({"folder": str(folder), "allow_custom_code": False}) + "\n"
    done = subprocess.run(
        measuring.COMMAND, input=request * 2, capture_output=True, text=True, check=True
    )
    first, second = map(json.loads, done.stdout.splitlines())
    assert first == second
    assert first["key"] == folder_key(folder)
    assert first["outcome"]["geometry"]["total_layers"] == 30
