"""Floats that JSON has no numbers for, as transformers 5 writes them into a config."""

from __future__ import annotations

import json
import math
from pathlib import Path

from tiny_configs import tiny_config

from scorer.lm.skeleton import build_skeleton
from scorer.models.config import untagged


def test_a_tagged_float_is_a_float() -> None:
    infinity = {"__float__": "Infinity"}
    assert untagged({"a": [0.0, infinity], "b": {"c": {"__float__": "-Infinity"}}}) == {
        "a": [0.0, math.inf],
        "b": {"c": -math.inf},
    }
    assert math.isnan(untagged({"__float__": "NaN"}))


def test_anything_else_stays() -> None:
    for value in (
        {"__float__": "1e3"},
        {"__float__": [1]},
        {"__float__": "NaN", "b": 1},
        [],
        {},
        7,
    ):
        assert untagged(value) == value


def test_what_is_returned_is_a_copy() -> None:
    config = {"a": {"b": [1]}}
    untagged(config)["a"]["b"].append(2)
    assert config == {"a": {"b": [1]}}


def test_a_model_with_one_is_built(tmp_path: Path) -> None:
    config = tiny_config("nemotron_h", time_step_limit=[0.0, {"__float__": "Infinity"}])
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    module = build_skeleton(tmp_path, config, allow_custom_code=False)
    parts = [part for part in module.modules() if hasattr(part, "time_step_limit")]
    assert parts and all([*part.time_step_limit] == [0.0, math.inf] for part in parts)
