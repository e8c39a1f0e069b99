"""Weights made of a model in memory: those that its files would give."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from tiny_models import write_tiny_model

from scorer.device.backend import Backend, start_backend
from scorer.device.stream_threads import each_in_threads
from scorer.lm.load import LoadedModel, load
from scorer.lm.made_weights import holds_stored_values, load_made
from scorer.spec.settings.weights import MadeWeights


@pytest.fixture(scope="module")
def backend() -> Backend:
    return start_backend()


def write_stored(folder: Path, stored: str, stated: str | None) -> Path:
    """A model whose tensors have one dtype and whose config says another, or none."""
    write_tiny_model(folder, "llama")
    weights = folder / "model.safetensors"
    tensors = {k: v.astype(getattr(mx, stored)) for k, v in mx.load(str(weights)).items()}
    mx.eval(tensors)
    mx.save_safetensors(str(weights), tensors, {"format": "mlx"})
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config.pop("torch_dtype", None)
    path.write_text(json.dumps(config | ({} if stated is None else {"torch_dtype": stated})))
    return folder


def assert_equal(one: LoadedModel, other: LoadedModel) -> None:
    """Check that two models hold the same parameters, bit for bit."""
    mine, theirs = dict(tree_flatten(one.module.parameters())), {}
    theirs.update(tree_flatten(other.module.parameters()))
    assert mine.keys() == theirs.keys()
    for name, array in mine.items():
        assert array.dtype == theirs[name].dtype, name
        found, expected = (
            np.array(each.reshape(-1).view(mx.uint8)) for each in (array, theirs[name])
        )
        np.testing.assert_array_equal(found, expected, name)
    facts = ("dtype", "vocab_rows", "dequantized", "weight_bytes", "bits_per_weight")
    assert [getattr(one, key) for key in facts] == [getattr(other, key) for key in facts]


@pytest.mark.parametrize("stated", ["float16", "bfloat16", "float32", None])
@pytest.mark.parametrize("stored", ["float16", "bfloat16", "float32"])
def test_they_are_what_the_files_give(
    stored: str, stated: str | None, backend: Backend, tmp_path: Path
) -> None:
    """Whatever is stored, and whatever the config says of it."""
    model = write_stored(tmp_path, stored, stated)
    resident = load(model, backend)
    # On a CPU the stored dtype is not known of arrays in memory.
    assert holds_stored_values(resident, backend) is (backend.kind != "cpu" or stated is not None)
    for made in (MadeWeights(4, 32), MadeWeights(3, 32), MadeWeights(4, 32, "mxfp4")):
        assert_equal(
            load_made(model, made, backend, resident=resident), load_made(model, made, backend)
        )
    # The reference is what it was.
    assert_equal(resident, load(model, backend))


def test_a_reference_that_was_quantized_is_not_taken(backend: Backend, tmp_path: Path) -> None:
    resident = load(write_tiny_model(tmp_path, "llama", bits=4), backend)
    on_cpu = dataclasses.replace(backend, kind="cpu")
    assert not holds_stored_values(dataclasses.replace(resident, dequantized=True), on_cpu)


@pytest.mark.parametrize("threads", [1, 2, 3, 9])
def test_threads_make_what_one_makes(threads: int, backend: Backend, tmp_path: Path) -> None:
    model = write_stored(tmp_path, "bfloat16", "bfloat16")
    on_cpu = dataclasses.replace(backend, kind="cpu")
    with mx.stream(mx.cpu):
        resident = load(model, on_cpu)
        every = [MadeWeights(bits, 32) for bits in (8, 6, 4, 3, 2)]
        made: dict[str, LoadedModel] = {}

        def make(source: MadeWeights) -> None:
            made[source.key] = load_made(model, source, on_cpu, resident=resident)

        each_in_threads(make, every, threads)
        for source in every:
            assert_equal(made[source.key], load_made(model, source, on_cpu))


def test_the_first_error_is_raised() -> None:
    def work(item: int) -> None:
        if item in (3, 5):
            raise ValueError(item)

    for threads in (1, 2, 4):
        with pytest.raises(ValueError, match="3"):
            each_in_threads(work, range(4 if threads > 2 else 9), threads)


@pytest.mark.parametrize("threads", [2, 5])
def test_a_quantized_model_is_made_dense_by_threads_as_by_one(
    threads: int, backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_tiny_model(tmp_path, "llama", bits=4)
    on_cpu = dataclasses.replace(backend, kind="cpu")
    with mx.stream(mx.cpu):
        alone = load(model, on_cpu)
        monkeypatch.setattr("scorer.lm.load.worker_count", lambda _: threads)
        assert_equal(load(model, on_cpu), alone)
