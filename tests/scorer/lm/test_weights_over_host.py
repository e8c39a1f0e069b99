"""Weights read by way of the host are those that MLX reads, bit for bit."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from scorer.common.errors import InputError
from scorer.demo import demo_model_path
from scorer.lm import weights_over_host
from scorer.lm.load import read_module
from scorer.lm.weights_over_host import evaluate_in_groups, load_over_host, reads_over_host


def test_every_array_of_a_file_is_the_same(tmp_path: Path) -> None:
    rows = weights_over_host._LEAST_BYTES // 64
    bits = mx.array(np.random.default_rng(1).integers(0, 1 << 32, (rows, 32), np.uint32))
    arrays = {
        # Among random bits are infinities and many kinds of NaN.
        "bfloat16": bits.view(mx.bfloat16),
        "float16": bits.view(mx.float16),
        "float32": bits.view(mx.float32),
        "uint32": bits,
        "uint8": bits.view(mx.uint8),
        "bool": bits.view(mx.uint8) > 127,
        "flat": bits.view(mx.bfloat16).reshape(-1),
        "of three dimensions": bits.reshape(4, rows // 4, 32),
        "one row": bits.reshape(1, -1),
        "small": bits[:2],
        "a number": mx.array(3.0),
        "nothing": mx.zeros((0, 4)),
    }
    path = str(tmp_path / "model.safetensors")
    mx.save_safetensors(path, arrays)
    found, expected = load_over_host(path), mx.load(path)
    assert isinstance(expected, dict) and found.keys() == expected.keys() == arrays.keys()
    for name, array in found.items():
        assert array.dtype == expected[name].dtype and array.shape == expected[name].shape, name
        if array.size > 1:
            assert _bits(array) == _bits(expected[name]), name


def _bits(array: mx.array) -> bytes:
    return np.array(array if array.dtype == mx.bool_ else array.view(mx.uint8)).tobytes()


def test_a_model_is_the_same_and_is_read_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    evaluate = mx.eval
    monkeypatch.setattr(weights_over_host, "_LEAST_BYTES", 1)
    monkeypatch.setattr(weights_over_host, "_GROUP_BYTES", 1 << 20)
    plain, _, _ = read_module(demo_model_path(), lazy=False)
    module, _, _ = read_module(demo_model_path(), lazy=True, over_host=True)
    monkeypatch.setattr(mx, "eval", lambda group: read.append(len(group)) or evaluate(group))
    evaluate_in_groups(module)
    arrays = dict(tree_flatten(module.parameters()))
    assert len(read) > 2 and sum(read) == len(arrays)
    for name, array in tree_flatten(plain.parameters()):
        assert _bits(arrays[name]) == _bits(array), name
    # Other models are read as before.
    from mlx_lm import utils

    assert utils.mx is mx


def test_only_cuda_reads_so_and_a_variable_switches_it_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("QFID_LOADING", raising=False)
    assert reads_over_host("cuda") and not reads_over_host("metal") and not reads_over_host("cpu")
    monkeypatch.setenv("QFID_LOADING", "plain")
    assert not reads_over_host("cuda")
    monkeypatch.setenv("QFID_LOADING", "soon")
    with pytest.raises(InputError, match="`soon` is not a value of QFID_LOADING"):
        reads_over_host("cuda")
