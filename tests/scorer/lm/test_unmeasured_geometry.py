"""Configs that give no model, or none that can be measured, are one line."""

from __future__ import annotations

import json
import os
import textwrap
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from measured_folders import outcome_of
from tiny_configs import tiny_config

from scorer.common.errors import InputError
from scorer.lm.measured_geometry import measure_folder
from scorer.lm.skeleton import build_skeleton, building_limits, most_held
from scorer.models.kept_geometry import Measured, NotBuilt


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "llama"}, "missing"),
        (tiny_config("llama", num_key_value_heads=3), "cannot run"),
        (tiny_config("gemma3n", layer_types=[]), "cannot"),
    ],
)
def test_a_config_that_gives_no_model_is_one_line(
    tmp_path: Path, config: dict[str, Any], reason: str
) -> None:
    outcome = outcome_of(tmp_path, config)
    assert isinstance(outcome, NotBuilt)
    assert reason in outcome.reason and "\n" not in outcome.reason and len(outcome.reason) < 300


@pytest.mark.parametrize("key", ["num_hidden_layers", "num_attention_heads", "hidden_size"])
def test_sizes_that_no_model_has_are_refused_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setattr("scorer.lm.skeleton.import_mlx_lm", lambda: pytest.fail("it was built"))
    with pytest.raises(InputError, match=f"`{key}`"):
        outcome_of(tmp_path, tiny_config("llama") | {key: 10**9})


def test_code_of_its_own_runs_only_where_that_is_allowed(tmp_path: Path) -> None:
    config = tiny_config("llama") | {"model_file": "own.py"}
    (tmp_path / "own.py").write_text("from mlx_lm.models.llama import Model, ModelArgs\n")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="code of its own"):
        measure_folder(tmp_path)
    key, outcome = measure_folder(tmp_path, allow_custom_code=True)
    assert isinstance(outcome, Measured) and len(outcome.geometry.layers) == 4
    (tmp_path / "own.py").write_text("from mlx_lm.models.qwen3 import Model, ModelArgs\n")
    assert measure_folder(tmp_path, allow_custom_code=True)[0] != key


@pytest.mark.parametrize("source", ["import a_package_that_is_not_here", "1 / 0", "def ("])
def test_what_is_wrong_with_code_of_its_own_is_not_kept(tmp_path: Path, source: str) -> None:
    """It may depend on what is installed."""
    config = tiny_config("llama") | {"model_file": "own.py"}
    (tmp_path / "own.py").write_text(source)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="cannot build"):
        measure_folder(tmp_path, allow_custom_code=True)


def test_building_that_takes_too_long_is_one_line(tmp_path: Path) -> None:
    source = textwrap.dedent("""
        def turn():
            pass
        while True:
            turn()
    """)
    with pytest.raises(InputError, match="takes over 0 s to build"), building_limits(0.2):
        exec(compile(source, "endless", "exec"), {})
    (tmp_path / "own.py").write_text(source)
    config = tiny_config("llama") | {"model_file": "own.py"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scorer.lm.skeleton.building_limits", lambda: building_limits(0.2))
        with pytest.raises(InputError, match="to build"):
            build_skeleton(tmp_path, config, allow_custom_code=True)


def test_caches_without_end_are_one_line(tmp_path: Path) -> None:
    """Loops of a model are a size that only its own architecture reads."""
    # Each look at the memory finds a MiB more: how far this process must grow to exceed what it
    # has held before depends on the tests that ran in it.
    held = count(1 << 30, 1 << 20)
    limits = building_limits(most_bytes=64 << 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scorer.lm.skeleton.most_held", lambda: next(held))
        patch.setattr("scorer.lm.measured_geometry.building_limits", lambda: limits)
        with pytest.raises(InputError, match="takes over 0 GiB to build"):
            outcome_of(tmp_path, tiny_config("nanbeige", num_loops=1 << 31))


def test_the_memory_held_is_in_bytes() -> None:
    held = bytearray(os.urandom(1)) * (32 << 20)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert len(held) < most_held() < memory
