"""The kernels of a model's forward pass that are compiled ahead."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from scorer.lm.model_kernels import model_tasks
from scorer.models.config import read_object
from scorer.models.info import ModelInfo
from scorer.models.resolve import resolve_model


@pytest.fixture
def demo() -> ModelInfo:
    return resolve_model("demo", None)


def labels(info: ModelInfo, **changes: Any) -> list[str]:
    config = read_object(info.path / "config.json") | changes
    return [task.label for task in model_tasks(info, config, "bfloat16")]


def test_a_llama_needs_two(demo: ModelInfo) -> None:
    assert labels(demo) == ["embedding", "activation"]


def test_another_activation_is_not_compiled_ahead(demo: ModelInfo) -> None:
    for changes in ({"architecture": "gpt2"}, {"architecture": "no_such"}, {"custom_code": "m.py"}):
        assert labels(dataclasses.replace(demo, **changes)) == ["embedding"]


def test_quantized_weights_need_their_matmul(demo: ModelInfo) -> None:
    config = read_object(demo.path / "config.json")
    config["quantization"] = {"bits": 4, "group_size": 64}
    tasks = list(model_tasks(demo, config, "float16"))
    assert [(task.operation, task.dtype) for task in tasks] == [
        ("take", "float16"),
        ("swiglu", "float16"),
        ("take", "uint32"),
        ("quantized_matmul", "float16"),
    ]
    assert (tasks[-1].x, tasks[-1].matrix) == ((1, 64, 192), (512, 192))
    assert (tasks[-1].bits, tasks[-1].group_size, tasks[-1].transpose) == (4, 64, True)
    for strange in ({"bits": "4"}, [], {"bits": 4, "group_size": None}):
        assert "quantized_matmul" not in {
            task.operation
            for task in model_tasks(demo, config | {"quantization": strange}, "float16")
        }
