"""The kernels that are compiled ahead are those that attention over codes asks for."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest
from kv_cases import codes_cache, quantizers
from mlx_lm.models import cache as mlx_lm_cache
from tiny_configs import tiny_config
from tiny_models import build_module

from scorer.lanes.kv import plan
from scorer.lanes.kv.attention_kernels import attention_tasks, trial_length
from scorer.lanes.kv.attention_over_codes import attend_codes
from scorer.lanes.kv.lane import KVLane
from scorer.lanes.kv.plan import plan_settings
from scorer.lm.measured_geometry import measured_geometry
from scorer.lm.model_handle import ModelHandle
from scorer.lm.split_model import SplitModel
from scorer.quantizers import affine
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import parse_settings


def selection(
    x: tuple[int, ...], dims: tuple[int, int], transpose: bool, bits: int, group: int
) -> tuple[Any, ...]:
    """What MLX chooses a kernel by: blocks of rows up to 64, and whether blocks fill K and N."""
    rows, inner = x[-2:]
    outer = dims[0] if transpose else dims[1]
    block = max(16, min(64, 1 << (rows - 1).bit_length()))
    return block, inner % max(64, group) == 0, outer % 2, transpose, bits, group


def asked(
    monkeypatch: pytest.MonkeyPatch, setting: KVSetting, layer: KVLayer, heads: int, length: int
) -> set[tuple[Any, ...]]:
    """What a forward pass of two sequences asks MLX for on a GPU."""
    found = set()
    plain = mx.quantized_matmul

    def record(x: mx.array, codes: mx.array, *rest: Any, **options: Any) -> mx.array:
        dims = codes.shape[-2], codes.shape[-1] * 32 // options["bits"]
        found.add(
            selection(x.shape, dims, options["transpose"], options["bits"], options["group_size"])
        )
        return plain(x, codes, *rest, **options)

    monkeypatch.setattr(mx, "quantized_matmul", record)
    monkeypatch.setattr(affine, "needs_odd_length", lambda: True)
    cache = codes_cache(mlx_lm_cache.KVCache(), setting)
    keys, values = (
        mx.random.normal((2, layer.kv_heads, length, dim)) for dim in (layer.k_dim, layer.v_dim)
    )
    queries = mx.random.normal((2, heads, length, layer.k_dim))
    held = cache.update_and_fetch(keys, values)
    mx.eval(attend_codes(queries, quantizers(cache), 0.1, "causal", *held))
    return found


# The longest passes take as long as all the others together.
LENGTHS = [
    *((2, length) for length in (7, 40, 64, 65, 200)),
    *((8, length) for length in (7, 64, 65)),
    *(
        pytest.param(heads, length, marks=pytest.mark.slow)
        for heads, length in ((2, 511), (8, 40), (8, 200), (8, 511))
    ),
]


@pytest.mark.parametrize(("heads", "length"), LENGTHS)
@pytest.mark.parametrize("notation", ["4", "k8v3:32", "k16v2", "k5v16", "6:128"])
def test_they_are_what_a_pass_asks_for(
    monkeypatch: pytest.MonkeyPatch, notation: str, heads: int, length: int
) -> None:
    setting = KVSetting.parse(notation)
    layer = KVLayer(kv_heads=2, k_dim=128, v_dim=256)
    geometry = KVGeometry((layer, layer), 2)
    with mx.stream(mx.cpu):
        expected = asked(monkeypatch, setting, layer, heads, length)
    tasks = list(attention_tasks([setting], geometry, heads, length, "bfloat16"))
    made = {
        selection(task.x, task.matrix[-2:], task.transpose, task.bits, task.group_size)
        for task in tasks
    }
    assert made == expected
    assert all(task.dtype == "bfloat16" for task in tasks)
    # The arrays are small.
    assert all(task.x[-2] * task.x[-1] <= 65 * 4 * 128 for task in tasks)


def test_only_what_a_runtime_computes_needs_them() -> None:
    geometry = KVGeometry((KVLayer(kv_heads=2, k_dim=64, v_dim=64),), 1)
    settings = parse_settings("8,4", path="dequantized")
    assert not list(attention_tasks(settings, geometry, 4, 511, "bfloat16"))
    labels = [row.label for row in attention_tasks([KVSetting(8, 4)], geometry, 4, 511, "float16")]
    assert labels == ["4-bit values", "8-bit keys"]


def test_a_trial_takes_the_kernels_of_a_long_pass() -> None:
    assert [trial_length(n) for n in (1, 2, 3, 4, 64, 65, 511)] == [1, 2, 3, 3, 63, 65, 65]


@pytest.mark.parametrize(("device", "tokens"), [("cuda", 65), ("cpu", 2)])
def test_on_cuda_a_setting_is_tried_with_the_kernels_it_is_scored_with(
    monkeypatch: pytest.MonkeyPatch, device: Any, tokens: int
) -> None:
    tried: list[int] = []

    class Recorded(KVLane):
        def hidden(self, given: mx.array) -> mx.array:
            tried.append(given.shape[1])
            return super().hidden(given)

    monkeypatch.setattr(plan, "KVLane", Recorded)
    settings = parse_settings("k4v8,k4v8@4,k4v8@100")
    job = Job("any", settings, CorpusSpec("builtin"), kernel="mlx-lm")
    with mx.stream(mx.cpu):
        split = SplitModel(build_module(tiny_config("llama")))
        plan_settings(job, ModelHandle(split), device, measured_geometry(split))
    behind = [tokens, tokens + 4, tokens + 2]
    assert tried == behind
