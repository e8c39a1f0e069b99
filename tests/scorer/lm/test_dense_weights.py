"""Dense layers made of quantized ones compute what those do, class by class, mode by mode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx_lm.models.mla import MultiLinear, QuantizedMultiLinear
from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear

from scorer.lm.dense_weights import cast, dense_layer, densify

FORMATS = [
    (8, 64, "affine"),
    (3, 32, "affine"),
    (4, 32, "mxfp4"),
    (8, 32, "mxfp8"),
    (4, 16, "nvfp4"),
]


@pytest.fixture(autouse=True)
def _on_the_cpu_device() -> Iterator[None]:
    with mx.stream(mx.cpu):
        mx.random.seed(0)
        yield


def close(one: mx.array, other: mx.array) -> None:
    a, b = np.array(one), np.array(other)
    assert np.abs(a).max() > 0.1
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(a).max())


def quantized(layer: Any, bits: int, group: int, mode: str, **more: Any) -> Any:
    """A quantized layer with scales of 16 bit, as on disk, cast as they are for the CPU."""
    cast(layer, mx.float16)
    found = layer.to_quantized(group, bits, mode, **more)
    cast(found, mx.float32)
    return found


@pytest.mark.parametrize(("bits", "group", "mode"), FORMATS)
def test_linear(bits: int, group: int, mode: str) -> None:
    layer = quantized(nn.Linear(128, 96, bias=True), bits, group, mode)
    x = mx.random.normal((2, 5, 128))
    dense = dense_layer(layer)
    assert type(dense) is nn.Linear and dense.weight.dtype == mx.float32
    close(layer(x), dense(x))


@pytest.mark.parametrize(("bits", "group", "mode"), FORMATS)
def test_embedding(bits: int, group: int, mode: str) -> None:
    layer = quantized(nn.Embedding(40, 128), bits, group, mode)
    dense = dense_layer(layer)
    assert type(dense) is nn.Embedding
    tokens, x = mx.array([[0, 7, 39]]), mx.random.normal((2, 128))
    # MLX gives rows of the modes with packed scales in bfloat16, which holds them exactly.
    np.testing.assert_array_equal(
        np.array(layer(tokens).astype(mx.float32)), np.array(dense(tokens))
    )
    close(layer.as_linear(x), dense.as_linear(x))


@pytest.mark.parametrize(("bits", "group", "mode"), FORMATS)
def test_experts(bits: int, group: int, mode: str) -> None:
    layer = quantized(SwitchLinear(128, 96, 3, bias=True), bits, group, mode)
    assert isinstance(layer, QuantizedSwitchLinear)
    dense = dense_layer(layer)
    assert type(dense) is SwitchLinear
    x, chosen = mx.random.normal((4, 1, 1, 128)), mx.array([[0], [2], [1], [2]])
    close(layer(x, chosen), dense(x, chosen))


def test_experts_with_a_scale_for_each() -> None:
    source = SwitchLinear(128, 96, 3, bias=False)
    # Experts of other sizes, so that a scale that is left out shows.
    source.weight = source.weight * mx.array([1.0, 9.0, 40.0]).reshape(3, 1, 1)
    weight = np.array(source.weight.astype(mx.float16).astype(mx.float32))
    layer = quantized(source, 4, 16, "nvfp4", global_scale=True)
    dense = dense_layer(layer)
    assert dense is not None
    error = np.abs(np.array(dense.weight) - weight).mean(axis=(1, 2))
    assert (error < 0.2 * np.abs(weight).mean(axis=(1, 2))).all()
    # The layer's own forward is for a GPU: MLX takes a global scale nowhere else.
    with pytest.raises(ValueError, match="only supported on the GPU"):
        layer(mx.zeros((1, 1, 1, 128)), mx.array([[0]]))


@pytest.mark.parametrize(("bits", "group", "mode"), FORMATS)
@pytest.mark.parametrize("transpose", [True, False])
def test_heads_of_latent_attention(bits: int, group: int, mode: str, transpose: bool) -> None:
    layer = quantized(MultiLinear(128, 64, 3), bits, group, mode)
    assert isinstance(layer, QuantizedMultiLinear)
    dense = dense_layer(layer)
    assert type(dense) is MultiLinear
    x = mx.random.normal((1, 3, 5, 128 if transpose else 64))
    close(layer(x, transpose=transpose), dense(x, transpose=transpose))


def test_a_model_becomes_dense_whole_and_stays_what_it_is_without_quantized_layers() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [nn.Linear(64, 64), nn.Linear(64, 64, bias=False)]
            self.norm = nn.RMSNorm(64)

    model = Model()
    cast(model, mx.bfloat16)
    assert not densify(model) and model.layers[0].weight.dtype == mx.float32
    cast(model, mx.bfloat16)
    nn.quantize(model, 32, 4)
    assert densify(model)
    assert [type(layer) for layer in model.layers] == [nn.Linear, nn.Linear]
    assert model.norm.weight.dtype == mx.float32


def test_other_layers_are_left_alone() -> None:
    assert dense_layer(nn.Linear(8, 8)) is None and dense_layer(nn.RMSNorm(8)) is None
