"""The predicted peak of a prompt against the peak of mlx-lm's own prefill, on the CPU."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten
from real_models import REPO, use_real_cache

from scorer.bench.prefill import Prompted, cached_prompted, main, measure, random_prompted
from scorer.device.backend import running_backend
from scorer.fit.prefill_peak import PrefillShape
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.settings.kv import KVSetting

PROMPTS = [(1025, 512), (2049, 2048)]
SETTINGS = [None, KVSetting.parse("8")]


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QFID_DEVICE", "cpu")


@pytest.mark.parametrize("kv", [None, KVSetting.parse("8:32")])
def test_a_short_prompt_is_near_its_prediction(kv: KVSetting | None) -> None:
    # Fast operations leave the queue of MLX shorter than it may be, so a peak can be far lower.
    with running_backend() as backend:
        found = measure(random_prompted("tiny", backend), backend, 513, 256, kv)
    predicted = found.predicted.total - found.predicted.weights
    assert 0.85 <= predicted / found.above <= 1.6


@pytest.mark.slow
@pytest.mark.parametrize("kv", SETTINGS)
@pytest.mark.parametrize(("tokens", "step"), PROMPTS)
def test_the_peak_of_a_random_model(tokens: int, step: int, kv: KVSetting | None) -> None:
    with running_backend() as backend:
        found = measure(random_prompted("tiny", backend), backend, tokens, step, kv)
    predicted = found.predicted.total - found.predicted.weights
    assert abs(predicted / found.above - 1) <= 0.15


@pytest.mark.slow
@pytest.mark.parametrize("element_bytes", [2, 4])
@pytest.mark.parametrize(("hidden", "inner"), [(256, 64), (64, 64), (64, 512)])
def test_the_peak_grows_with_each_width_as_predicted(
    hidden: int, inner: int, element_bytes: int
) -> None:
    with running_backend() as backend:
        found = measure(llama(hidden, inner, element_bytes), backend, 257, 256, None)
    predicted = found.predicted.total - found.predicted.weights
    assert abs(predicted / found.above - 1) <= 0.15


def llama(hidden: int, inner: int, element_bytes: int) -> Prompted:
    """Four layers with random weights, two heads of 32 elements."""
    from mlx_lm.models.llama import Model, ModelArgs

    model = Model(
        ModelArgs(
            model_type="llama",
            hidden_size=hidden,
            num_hidden_layers=4,
            intermediate_size=inner,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=32,
            rms_norm_eps=1e-5,
            vocab_size=128,
        )
    )
    model.set_dtype(mx.float32 if element_bytes == 4 else mx.bfloat16)
    mx.eval(model.parameters())
    weights = sum(array.nbytes for _, array in tree_flatten(model.parameters()))
    geometry = KVGeometry((KVLayer(1, 32, 32),) * 4, 4)
    return Prompted(model, geometry, PrefillShape(hidden, inner, 2, 128, element_bytes), weights)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("kv", SETTINGS)
@pytest.mark.parametrize(("tokens", "step"), PROMPTS)
def test_the_peak_of_smollm2_in_float32(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tokens: int,
    step: int,
    kv: KVSetting | None,
) -> None:
    use_real_cache(monkeypatch, tmp_path, f"{REPO}-fp32")
    with running_backend() as backend:
        prompted = cached_prompted(f"{REPO}-fp32")
        assert prompted.shape.element_bytes == 4
        found = measure(prompted, backend, tokens, step, kv)
    predicted = found.predicted.total - found.predicted.weights
    assert abs(predicted / found.above - 1) <= 0.1


def test_a_quantized_cache_on_cuda_is_our_own_class() -> None:
    with running_backend() as backend:
        as_cuda = dataclasses.replace(backend, kind="cuda", arithmetic="mlx")
        found = measure(random_prompted("tiny", backend), as_cuda, 65, 32, KVSetting.parse("8"))
    assert found.above > 0
    # Without room for 256 tokens, which mlx-lm's own buffers have.
    assert found.moment.buffers < 256 * 2 * 2 * 64 * (1 + 4 / 64)


def test_the_table_has_a_row_for_each_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["--shape", "tiny", "--prompts", "65:64,33:64", "--kv", "16", "--repeats", "1"]) == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1:4] for line in lines[3:]] == [
        ["      65 ", "    64 ", "     16 "],
        ["      33 ", "    64 ", "     16 "],
    ]


def test_a_prompt_that_is_no_number_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--shape", "tiny", "--prompts", "many:64"]) == 2
    assert "--prompts `many` is not a number of tokens" in capsys.readouterr().err
