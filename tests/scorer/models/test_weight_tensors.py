"""Which tensors of a folder mlx-lm loads, under the names that other libraries give them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from converted_models import convert, edit_config, info_of, loaded
from mlx.utils import tree_flatten
from mlx_lm.utils import get_total_parameters
from tiny_models import write_tiny_model

from scorer.common.errors import InputError
from scorer.models.precision import read_precision
from scorer.models.predicted_precision import predicted_precision
from scorer.models.weight_tensors import is_tied, stored_tensors

Weights = dict[str, mx.array]


def rewrite(folder: Path, change: Callable[[Weights], Any]) -> Path:
    weights = mx.load(str(folder / "model.safetensors"))
    assert isinstance(weights, dict)
    mx.eval(weights)
    change(weights)
    mx.save_safetensors(str(folder / "model.safetensors"), weights)
    return folder


def by_one(weights: Weights) -> None:
    """Experts as transformers has them, a matrix each."""
    names = {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}
    for name in [name for name in weights if ".switch_mlp." in name]:
        block, _, rest = name.partition(".switch_mlp.")
        for i, one in enumerate(weights.pop(name)):
            weights[f"{block}.experts.{i}.{names[rest.split('.')[0]]}.weight"] = one


def with_constants(weights: Weights) -> None:
    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = mx.zeros((16,))


def with_vision(weights: Weights) -> None:
    weights["vision_tower.blocks.0.weight"] = mx.zeros((64, 64))
    weights["multi_modal_projector.linear.weight"] = mx.zeros((64, 64))


def with_a_layer_more(weights: Weights) -> None:
    for name in [name for name in weights if ".layers.3." in name]:
        weights[name.replace(".layers.3.", ".layers.4.")] = weights[name]


@pytest.mark.parametrize(
    ("architecture", "change"),
    [
        ("mixtral", by_one),
        ("llama", with_constants),
        ("gemma3", with_vision),
        ("glm4_moe", with_a_layer_more),
    ],
)
def test_what_mlx_lm_drops_does_not_count(
    architecture: str, change: Callable[[Weights], Any], tmp_path: Path
) -> None:
    folder = rewrite(write_tiny_model(tmp_path / "tiny", architecture), change)
    found = read_precision(info_of(folder))
    model, _ = loaded(folder)
    assert found.parameters == get_total_parameters(model)
    assert found.loaded_bytes == sum(a.nbytes for _, a in tree_flatten(model.parameters()))
    predicted = predicted_precision(info_of(folder), 4, 32)
    real = read_precision(info_of(convert(folder, tmp_path / "quant", 4, 32)))
    assert predicted.bits_per_weight == real.bits_per_weight
    assert predicted.loaded_bytes == real.loaded_bytes


@pytest.mark.parametrize(
    ("changes", "tied"),
    [
        ({"tie_word_embeddings": True}, True),
        ({"tie_word_embeddings": False}, False),
        # What the class takes without a word.
        ({"tie_word_embeddings": None}, True),
        ({"tie_word_embeddings": None, "model_type": "mixtral"}, False),
        ({"tie_word_embeddings": None, "model_type": "nothing"}, False),
        ({"tie_word_embeddings": True, "text_config": {"tie_word_embeddings": False}}, False),
    ],
)
def test_a_head_is_tied_by_the_config_or_the_class(changes: dict[str, Any], tied: bool) -> None:
    assert is_tied({"model_type": "llama"} | changes) == tied


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        stored_tensors(tmp_path / "missing")
    folder = write_tiny_model(tmp_path / "tiny", "llama")
    edit_config(folder)
    (folder / "model.safetensors").write_bytes(b"\0" * 9)
    with pytest.raises(InputError):
        stored_tensors(folder)
