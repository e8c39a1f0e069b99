"""What a run says of a model that is not what its files state, and what it scores then."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest
from config_alarms import built
from tiny_configs import architectures, tiny_config
from tiny_models import write_tiny_model
from tiny_runs import Small, finished, planned

from scorer.engine.model_warnings import unused_window
from scorer.models.architectures import has_position_table, refusal
from scorer.runs.listing import find_run
from scorer.spec.events import Event, Failed, Warned
from scorer.spec.geometry import KVGeometry, KVLayer

FULL = KVGeometry((KVLayer(2, 32, 32),) * 2, 2)
WINDOWED = KVGeometry((KVLayer(2, 32, 32), KVLayer(2, 32, 32, window=64)), 2)


@pytest.mark.parametrize(
    ("config", "geometry", "window"),
    [
        ({"sliding_window": 64}, FULL, 64),
        ({"text_config": {"sliding_window": 64}}, FULL, 64),
        ({"sliding_window": 64, "layer_types": ["full_attention", "sliding_attention"]}, FULL, 64),
        ({"sliding_window": 64, "layer_types": ["full_attention"] * 2}, FULL, None),
        ({"sliding_window": 64, "use_sliding_window": False}, FULL, None),
        ({"sliding_window": 64}, WINDOWED, None),
        # No chunk outgrows it.
        ({"sliding_window": 128}, FULL, None),
        ({"sliding_window": None}, FULL, None),
        ({"sliding_window": -1}, FULL, None),
        ({"sliding_window": "64"}, FULL, None),
        ({}, FULL, None),
    ],
)
def test_a_window_that_no_layer_has(
    config: dict[str, Any], geometry: KVGeometry, window: int | None
) -> None:
    assert unused_window(config, geometry, chunk_length=128) == window


def changed(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8")) | changes
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}), "utf-8")


def scored(model: Path, small: Small, **changes: Any) -> list[Event]:
    changes = {"max_chunks": 1} | changes
    return dataclasses.replace(small, model=model).score("4:32", **changes)


def setting_of(events: list[Event]) -> dict[str, Any]:
    (setting,) = finished(events).report["settings"]
    return dict(setting)


def test_a_base_in_rope_parameters_is_the_base(tmp_path: Path, small: Small) -> None:
    stated = write_tiny_model(tmp_path / "stated", "llama", rope_theta=300.0)
    moved = write_tiny_model(tmp_path / "moved", "llama")
    changed(moved, rope_theta=None, rope_parameters={"rope_theta": 300.0, "rope_type": "default"})
    events = [scored(model, small) for model in (stated, moved)]
    before, after = map(setting_of, events)
    for key in ("perplexity_ref", "kl", "flip_rate"):
        assert after[key] == before[key]
    said = [line for line in after["warnings"] if line not in before["warnings"]]
    assert len(said) == 1
    assert "`rope_parameters`" in said[0] and "`rope_theta` `300`" in said[0]
    # An earlier version dropped it: its runs must not go on with other numbers.
    of_stated, of_moved = (find_run(planned(each).run).readable_facts.identity for each in events)
    version = of_stated["mlx-lm version"]
    assert of_moved["mlx-lm version"] == f'{version}, given {{"rope_theta": 300.0}}'


def test_a_value_that_is_dropped_stands_in_the_report(tmp_path: Path, small: Small) -> None:
    model = write_tiny_model(tmp_path / "model", "llama")
    changed(model, final_logit_softcapping=30.0)
    events = scored(model, small)
    (warned,) = [e.message for e in events if isinstance(e, Warned) if "softcapping" in e.message]
    assert warned in setting_of(events)["warnings"]
    assert "`final_logit_softcapping` is `30.0`" in warned


def test_a_head_that_is_dropped_without_a_word(tmp_path: Path, small: Small) -> None:
    model = write_tiny_model(tmp_path / "model", "llama", tie_word_embeddings=False)
    assert not [line for line in setting_of(scored(model, small))["warnings"] if "tie_" in line]
    # The class takes True where nothing is stated, and its loader drops the head then.
    changed(model, tie_word_embeddings=None)
    (said,) = [line for line in setting_of(scored(model, small))["warnings"] if "tie_" in line]
    assert "`lm_head.weight`" in said
    weights = dict(mx.load(str(model / "model.safetensors")))
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    mx.save_safetensors(str(model / "model.safetensors"), weights)
    assert not [line for line in setting_of(scored(model, small))["warnings"] if "tie_" in line]


def test_a_chunk_beyond_the_context_is_a_warning(tmp_path: Path, small: Small) -> None:
    model = write_tiny_model(tmp_path / "model", "llama", max_position_embeddings=16)
    events = scored(model, small)
    (warned,) = [e for e in events if isinstance(e, Warned) if "context" in e.message]
    assert warned.message in setting_of(events)["warnings"]
    assert warned.hint == "give --chunk-length 16 or less"
    changed(model, rope_scaling={"type": "linear", "factor": 2.0})
    assert not [e for e in scored(model, small) if isinstance(e, Warned) if "context" in e.message]


def test_a_model_without_positions_for_a_chunk_is_refused(tmp_path: Path, small: Small) -> None:
    model = write_tiny_model(tmp_path / "model", "gpt2", n_positions=16, n_ctx=16)
    (failed,) = [event for event in scored(model, small) if isinstance(event, Failed)]
    assert failed.exit_code == 2 and "(16 tokens)" in failed.message
    assert failed.hint == "give --chunk-length 16 or less"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_architectures_whose_positions_are_a_table_are_known() -> None:
    found = set()
    for name in architectures():
        if refusal(name) is None:
            module, _ = built(tiny_config(name))
            tables = [part for part in module.modules() if isinstance(part, nn.Embedding)]
            if any(table.weight.shape[0] == 1024 for table in tables):
                found.add(name)
    assert found == {name for name in architectures() if has_position_table(name)}
