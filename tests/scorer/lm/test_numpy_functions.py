"""Whole models of many architectures give the same numbers in NumPy as in MLX alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx_lm.models import base, llama
from mlx_lm.models import cache as mlx_lm_cache
from numpy.typing import NDArray
from tiny_configs import tiny_config
from tiny_models import build_module

from scorer.common.errors import InputError
from scorer.demo import demo_model_path
from scorer.demo.corpus import builtin_documents
from scorer.device import threads as cpu_threads
from scorer.device.backend import Backend
from scorer.device.cpu_arithmetic import MLX, NUMPY, choose
from scorer.lm.caches import fresh_caches
from scorer.lm.cpu import activation as cpu_activation
from scorer.lm.cpu import attention as cpu_attention
from scorer.lm.load import load
from scorer.lm.patches import pass_options
from scorer.lm.split_model import SplitModel
from scorer.metrics.definition import Reference
from scorer.text.tokens.tokenizer_file import load_tokenizer_file

# What is special about each.
ARCHITECTURES = [
    "llama",
    "qwen3",
    "gemma2",  # soft-capped scores, attention of its own, GELU
    "gemma3",  # sliding windows
    "gpt_oss",  # sinks, sliding windows, experts
    "cohere2",
    "deepseek_v3",  # latent attention
    # A hundred thousand tokens, whatever its config says.
    pytest.param("phi3small", marks=pytest.mark.slow),
    "plamo2",  # attention by mx.fast itself, state space
    "qwen3_next",  # linear attention
    "nanochat",  # soft-capped logits
    "gpt_neox",
    "mamba2",
    "mixtral",
]


@pytest.fixture(autouse=True)
def _on_the_cpu_device() -> Iterator[None]:
    mx.disable_compile()
    with mx.stream(mx.cpu):
        yield
    mx.enable_compile()


def logits(model: Any, tokens: mx.array, arithmetic: str) -> NDArray[np.float32]:
    """By body and tail, in pieces, as they are scored."""
    split = SplitModel(model, arithmetic)
    split.check(lambda: fresh_caches(model), tokens)
    hidden = split.hidden(tokens, fresh_caches(model))
    middle = tokens.shape[1] // 2
    ends = [(0, middle), (middle, tokens.shape[1])]
    return np.array(mx.concatenate([split.logits(hidden, a, b) for a, b in ends], axis=1))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_whole_model_gives_the_same_logits(architecture: str) -> None:
    config = tiny_config(architecture)
    model = build_module(config)
    tokens = mx.array(np.random.default_rng(0).integers(0, 256, (2, 90)))
    plain, fast = logits(model, tokens, MLX), logits(model, tokens, NUMPY)
    finite = np.isfinite(plain)
    assert np.array_equal(finite, np.isfinite(fast))
    scale = np.abs(plain[finite]).max()
    np.testing.assert_allclose(fast[finite], plain[finite], atol=2e-5 * scale, rtol=1e-4)


@pytest.mark.slow
def test_the_demo_model_drifts_from_itself_by_less_than_a_billionth_of_a_nat() -> None:
    folder = demo_model_path()
    backend = Backend("cpu", "", 0, 0, "", {})
    model = load(folder, backend).module
    text = builtin_documents()[0][1]
    tokens = np.array(load_tokenizer_file(folder).encode(text)[:513], dtype=np.int32)
    plain, fast = (logits(model, mx.array(tokens[None, :-1]), a)[0] for a in (MLX, NUMPY))
    drift = Reference(plain, tokens[1:], plain=True).compare(fast)
    assert not np.array_equal(plain, fast), "nothing ran in NumPy"
    assert drift.kl.mean() < 1e-9 and drift.kl.max() < 1e-7
    assert np.array_equal(drift.top_ref, drift.top_quant)


def test_the_forward_pass_really_runs_in_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    for module, name in ((cpu_attention, "attend"), (cpu_activation, "swiglu")):
        original = getattr(module, name)

        def counting(*arguments: Any, _name: str = name, _original: Any = original) -> Any:
            found = _original(*arguments)
            seen.append(_name if found is not None else f"no {_name}")
            return found

        monkeypatch.setattr(module, name, counting)
    model = build_module(tiny_config("llama"))
    logits(model, mx.array([[1, 2, 3, 4]]), NUMPY)
    # Once for each layer, in the check of the two parts twice more.
    layers = len(model.layers)
    assert seen.count("attend") == seen.count("swiglu") == 3 * layers
    assert set(seen) == {"attend", "swiglu"}


def test_everything_is_put_back() -> None:
    def places() -> list[Any]:
        owners = (mx.fast, "scaled_dot_product_attention"), (mx, "softmax"), (mx, "tanh")
        more = (mx, "sigmoid"), (nn, "silu"), (nn, "gelu_approx"), (llama, "swiglu")
        layers = (nn.Linear, "__call__"), (nn.Embedding, "as_linear")
        return [getattr(owner, name) for owner, name in (*owners, *more, *layers)]

    before = places()
    with pass_options(arithmetic=NUMPY):
        assert all(a is not b for a, b in zip(before, places(), strict=True))
        x = mx.ones((3, 4), mx.float16)
        # What is not covered goes on to MLX.
        assert mx.softmax(x, axis=0).dtype == mx.float16
        assert nn.silu(x).dtype == mx.float16
        assert mx.softmax(mx.ones((3, 4))).shape == (3, 4)
        np.testing.assert_allclose(np.array(mx.softmax(mx.ones((3, 4)))), 1 / 12)
    assert places() == before
    with pytest.raises(ZeroDivisionError), pass_options(arithmetic=NUMPY):
        raise ZeroDivisionError
    assert places() == before


def test_attention_over_a_quantized_cache_is_mlx_lms_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy would take the codes for keys."""
    cache = mlx_lm_cache.QuantizedKVCache(group_size=32, bits=8)
    x = mx.array(np.random.default_rng(0).standard_normal((1, 2, 5, 32)).astype(np.float32))
    held = cache.update_and_fetch(x, x)

    def attend() -> NDArray[np.float32]:
        # A copy: mlx-lm scales the caller's queries in place.
        return np.array(
            base.scaled_dot_product_attention(x + 0, *held, cache, scale=0.2, mask="causal")
        )

    monkeypatch.setattr(cpu_attention, "attend", None)
    monkeypatch.setattr(cpu_activation, "softmax", lambda _: None)
    expected = attend()
    with pass_options(arithmetic=NUMPY):
        assert np.array_equal(attend(), expected)


@pytest.mark.parametrize(
    ("wish", "used"), [(None, "numpy"), ("", "numpy"), ("numpy", "numpy"), ("mlx", "mlx")]
)
def test_the_variable_chooses(wish: str | None, used: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QFID_CPU_ARITHMETIC", raising=False)
    if wish is not None:
        monkeypatch.setenv("QFID_CPU_ARITHMETIC", wish)
    assert choose() == used


def test_another_wish_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QFID_CPU_ARITHMETIC", "fast")
    with pytest.raises(InputError, match=r"`fast` is not a value"):
        choose()


def test_numpys_blas_keeps_to_one_thread_meanwhile() -> None:
    found = cpu_threads._numpy_blas()
    if found is None:
        pytest.skip("NumPy's BLAS is not the OpenBLAS of its wheels")
    get, _ = found
    before = get()
    with cpu_threads.single_threaded_numpy_blas:
        assert get() == 1
    assert get() == before


def test_an_item_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_threads, "thread_count", lambda: 3)
    cpu_threads._pool.cache_clear()
    done: list[int] = []

    def work(item: int) -> None:
        if item == 5:
            raise ValueError("five")
        done.append(item)

    with pytest.raises(ValueError, match="five"):
        cpu_threads.run_each(work, range(20), 1 << 20)
    cpu_threads.run_each(done.append, range(100, 110), 1 << 20)
    assert sorted(done)[-10:] == list(range(100, 110))
    cpu_threads._pool().shutdown()
    cpu_threads._pool.cache_clear()
