"""Weights of GGUF files in mlx-lm's module: order of rows, values, what cannot be loaded."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from converted_models import info_of
from gguf_files import converted, gguf_bytes, needs_gguf, permuted, stored
from mlx.utils import tree_flatten
from tiny_models import write_tiny_model

from scorer.common.errors import InputError
from scorer.device.backend import Backend, start_backend
from scorer.lm.gguf_weights import dequantized, load_gguf, unpermuted
from scorer.lm.load import LoadedModel, load
from scorer.models.gguf.file import open_gguf
from scorer.models.gguf.header import read_header
from scorer.models.gguf.same_model import gguf_weights
from scorer.models.gguf.tensor_types import TENSOR_TYPES

# What llama.cpp has in its code.
GEMMA = {"sliding_window_pattern": 6, "rope_local_base_freq": 10000.0, "query_pre_attn_scalar": 32}


@pytest.fixture(scope="module")
def backend() -> Backend:
    return start_backend()


def parameters(model: LoadedModel) -> dict[str, np.ndarray]:
    flat: Any = tree_flatten(model.module.parameters())
    return {name: np.array(value) for name, value in flat}


@pytest.mark.parametrize(("heads", "size"), [(4, 64), (1, 32), (3, 2)])
def test_rows_come_back_into_their_order(heads: int, size: int) -> None:
    rows = np.arange(heads * size * 5, dtype=np.float32).reshape(heads * size, 5)
    moved = permuted(rows, heads)
    assert (size == 2) == np.array_equal(moved, rows)
    assert np.array_equal(unpermuted(moved, heads), rows)
    assert np.array_equal(unpermuted(permuted(rows[:, 0], heads), heads), rows[:, 0])


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("llama", {}),
        ("llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
        ("llama", {"rope_traditional": True}),
        ("qwen2", {"tie_word_embeddings": True}),
        ("qwen2", {"head_dim": None}),
        ("qwen3", {}),
        ("gemma3_text", GEMMA),
        ("phi3", {"partial_rotary_factor": 1.0}),
    ],
)
def test_a_file_in_float32_is_the_model_in_every_bit(
    architecture: str, changes: dict[str, Any], tmp_path: Path, backend: Backend
) -> None:
    needs_gguf()
    folder = write_tiny_model(tmp_path / "m", architecture, **changes)
    info = info_of(folder)
    file = open_gguf(converted(folder).write(tmp_path / "x.gguf"))
    model = load_gguf(folder, gguf_weights(info, file), backend, "float32")
    own, other = parameters(load(folder, backend)), parameters(model)
    assert own.keys() == other.keys()
    for name, values in own.items():
        # One was added to norms of Gemma, and taken away again.
        rounding = 1e-6 if architecture == "gemma3_text" and "norm" in name else 0
        np.testing.assert_allclose(other[name], values, rtol=0, atol=rounding, err_msg=name)
    assert model.weight_bytes == file.stored_bytes and not model.dequantized


def test_on_a_gpu_weights_have_the_dtype_of_the_reference(tmp_path: Path, backend: Backend) -> None:
    needs_gguf()
    folder = write_tiny_model(tmp_path / "m", "llama")
    file = open_gguf(converted(folder, "Q8_0").write(tmp_path / "x.gguf"))
    weights = gguf_weights(info_of(folder), file)
    exact = load_gguf(folder, weights, dataclasses.replace(backend, kind="cpu"), "float16")
    rounded = load_gguf(folder, weights, dataclasses.replace(backend, kind="metal"), "float16")
    assert (exact.dtype_name, rounded.dtype_name) == ("float32", "float16")
    assert exact.bits_per_weight == rounded.bits_per_weight == weights.precision.bits_per_weight
    own, other = parameters(exact), parameters(rounded)
    for name, values in own.items():
        assert other[name].dtype == np.float16
        np.testing.assert_array_equal(other[name], values.astype(np.float16))


def test_rows_that_are_not_moved_back_give_another_model(
    tmp_path: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_gguf()
    folder = write_tiny_model(tmp_path / "m", "llama")
    file = open_gguf(converted(folder).write(tmp_path / "x.gguf"))
    weights = gguf_weights(info_of(folder), file)
    monkeypatch.setattr("scorer.lm.gguf_weights.unpermuted", lambda values, heads: values)
    own = parameters(load(folder, backend))
    other = parameters(load_gguf(folder, weights, backend, "float32"))
    different = {name for name, values in own.items() if not np.array_equal(other[name], values)}
    assert different == {
        f"model.layers.{i}.self_attn.{part}.weight"
        for i in range(4)
        for part in ("q_proj", "k_proj")
    }


# MLX reads these three types of GGUF files itself, with code of its own.
@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0"])
def test_values_are_those_that_mlx_reads(kind: str, tmp_path: Path) -> None:
    needs_gguf()
    values = np.random.default_rng(1).standard_normal((6, 128)).astype(np.float32)
    path = tmp_path / "x.gguf"
    path.write_bytes(gguf_bytes({"general.architecture": "x"}, {"x.weight": stored(values, kind)}))
    loaded: Any = mx.load(str(path))
    bits = 8 if kind == "Q8_0" else 4
    scales, biases = (loaded[f"x.{part}"].astype(mx.float32) for part in ("scales", "biases"))
    other = mx.dequantize(loaded["x.weight"], scales, biases, 32, bits)
    (tensor,) = read_header(path).tensors
    # MLX keeps the offset of a block in float16.
    np.testing.assert_allclose(dequantized(tensor), np.array(other), rtol=0, atol=2e-3)
    assert np.abs(dequantized(tensor) - values).max() < 0.5


@pytest.mark.parametrize("number", sorted(TENSOR_TYPES))
def test_every_type_is_dequantized_in_blocks_of_rows(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gguf = needs_gguf()
    kind = TENSOR_TYPES[number]
    rng = np.random.default_rng(number)
    rows, width = 5, 2 * max(kind.block_elements, 4)
    row_bytes = width // kind.block_elements * kind.block_bytes
    data = rng.integers(0, 32, (rows, row_bytes), np.uint8)
    from gguf_files import Stored

    path = tmp_path / "x.gguf"
    path.write_bytes(gguf_bytes({}, {"x": Stored(number, (rows, width), data.tobytes())}))
    (tensor,) = read_header(path).tensors
    monkeypatch.setattr("scorer.lm.gguf_weights._ELEMENTS", 2 * width)
    expected = gguf.quants.dequantize(data, gguf.GGMLQuantizationType(number))
    np.testing.assert_array_equal(dequantized(tensor), expected.reshape(rows, width))


def test_a_file_that_shrinks_meanwhile_is_refused(tmp_path: Path, backend: Backend) -> None:
    needs_gguf()
    folder = write_tiny_model(tmp_path / "m", "llama")
    path = converted(folder, "F16").write(tmp_path / "x.gguf")
    weights = gguf_weights(info_of(folder), open_gguf(path))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match="ends in the tensor"):
        load_gguf(folder, weights, backend, "float32")
    path.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        load_gguf(folder, weights, backend, "float32")


def test_a_type_that_the_package_lacks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gguf = needs_gguf()

    def lacking(*_: object) -> None:
        raise NotImplementedError("Dequantization for Q8_0 is not yet implemented")

    path = tmp_path / "x.gguf"
    path.write_bytes(gguf_bytes({}, {"x": stored(np.ones((2, 32)), "Q8_0")}))
    monkeypatch.setattr(gguf.quants, "dequantize", lacking)
    with pytest.raises(InputError, match="package gguf does not dequantize Q8_0"):
        dequantized(read_header(path).tensors[0])


def test_a_package_that_cannot_be_imported_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(gguf_bytes({}, {"x": stored(np.ones((2, 32)), "F16")}))
    monkeypatch.setitem(sys.modules, "gguf.constants", None)
    with pytest.raises(InputError, match="package gguf cannot be imported") as caught:
        dequantized(read_header(path).tensors[0])
    assert "pip install" in caught.value.hint
