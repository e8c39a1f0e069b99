"""What is replaced for scoring is put back, and each thread computes as it asked to."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from types import ModuleType
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from deadline import DEADLINE
from kv_cases import codes_cache, kv_lane, reference_lane
from loop_cases import batch
from mlx_lm.models import activations, llama
from mlx_lm.models import base as mlx_lm_base
from mlx_lm.models import cache as mlx_lm_cache
from tiny_configs import tiny_config
from tiny_models import build_module
from tiny_values import VOCAB

from scorer.device import threads
from scorer.device.cpu_arithmetic import MLX, NUMPY
from scorer.engine.loop import Loop
from scorer.engine.outcomes import Scored, ScoreTask
from scorer.lanes.base import Lane
from scorer.lanes.kv.lane import CODES, DEQUANTIZED
from scorer.lanes.noise import EmbeddingNoise, PerturbedLane
from scorer.lm import patches
from scorer.lm.caches import fresh_caches
from scorer.lm.cpu import attention as cpu_attention
from scorer.lm.patches import body_pass, pass_options, patched
from scorer.lm.split_model import SplitModel
from scorer.metrics.reduce import Metrics
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import parse_settings
from scorer.stats.positions import Positions

SMALL = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 96}


@pytest.fixture(autouse=True)
def _on_the_cpu_device() -> Iterator[None]:
    mx.disable_compile()
    with mx.stream(mx.cpu):
        yield
    mx.enable_compile()


def places() -> list[Any]:
    """Everything that may be replaced, as it is now."""
    listed = [(owner, name) for owner, name, _ in patches._table()]
    imported = [
        (nn.layers.activations, "silu"),
        (nn.layers.activations, "gelu_approx"),
        (llama, "scaled_dot_product_attention"),
        (llama, "swiglu"),
    ]
    return [getattr(owner, name) for owner, name in (*listed, *imported)]


def replaced(before: list[Any]) -> list[bool]:
    return [now is not then for now, then in zip(places(), before, strict=True)]


@pytest.mark.parametrize(
    "block",
    [patched, lambda: pass_options(query_blocks=True), lambda: body_pass(NUMPY, (), 0)],
)
def test_all_is_replaced_inside_and_put_back_after(block: Callable[[], Any]) -> None:
    before = places()
    with block():
        assert all(replaced(before))
    assert places() == before


def test_all_is_put_back_after_an_error_also_inside_another_block() -> None:
    before = places()
    with patched():
        own = places()
        with pytest.raises(ZeroDivisionError), pass_options(arithmetic=NUMPY), patched():
            raise ZeroDivisionError
        assert places() == own and all(replaced(before))
        assert patches._options.get() == patches.PassOptions()
    assert places() == before


def test_a_table_that_fails_midway_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    before = places()
    whole = patches._table()
    broken = [*whole[:5], (mx, "no_such_function", lambda original: original)]
    with monkeypatch.context() as patch:
        patch.setattr(patches, "_table", lambda: broken)
        with pytest.raises(AttributeError), patched():
            raise AssertionError("not reached")
    assert places() == before
    with patched():
        assert all(replaced(before))


def test_the_last_thread_puts_back() -> None:
    before = places()
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with pass_options(arithmetic=NUMPY):
            inside.set()
            leave.wait(DEADLINE)

    thread = threading.Thread(target=other)
    with patched():
        thread.start()
        assert inside.wait(DEADLINE)
    assert all(replaced(before)), "another thread still needs them"
    leave.set()
    thread.join(20)
    assert places() == before


def test_options_are_those_of_the_thread_and_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    attend = cpu_attention.attend

    def counted(*arguments: Any) -> Any:
        calls.append(threading.get_ident())
        return attend(*arguments)

    monkeypatch.setattr(cpu_attention, "attend", counted)
    x = mx.ones((1, 2, 3, 32))
    mx.eval(x)

    def by_mlx() -> None:
        with mx.stream(mx.cpu):
            q = mx.ones((1, 2, 3, 32))
            mx.eval(mx.fast.scaled_dot_product_attention(q, q, q, scale=1.0))

    with pass_options(arithmetic=NUMPY):
        mx.fast.scaled_dot_product_attention(x, x, x, scale=1.0)
        assert len(calls) == 1
        thread = threading.Thread(target=by_mlx)
        thread.start()
        thread.join(20)
        with pass_options(arithmetic=MLX):
            by_mlx()
    with patched():
        by_mlx()
    assert calls == [threading.get_ident()]


def test_blocks_inside_keep_the_options_they_do_not_name() -> None:
    def perturb(table: nn.Module, tokens: mx.array, embedded: mx.array) -> mx.array:
        return embedded + 1

    table = nn.Embedding(4, 8)
    ids = mx.array([[1, 2]])
    plain = table(ids)
    with pass_options(perturb=perturb), body_pass(MLX, (), 0):
        assert patches._options.get().query_blocks
        assert mx.array_equal(table(ids), plain + 1)
    assert mx.array_equal(table(ids), plain)


def test_a_module_imported_meanwhile_computes_as_all_others_and_is_put_back() -> None:
    own = mlx_lm_base.scaled_dot_product_attention, activations.swiglu
    module = ModuleType("mlx_lm.models.late_for_the_tests")
    try:
        with patched():
            source = (
                "from mlx_lm.models.base import scaled_dot_product_attention\n"
                "from mlx_lm.models.activations import swiglu\n"
            )
            exec(source, module.__dict__)
            sys.modules[module.__name__] = module
            assert module.scaled_dot_product_attention is llama.scaled_dot_product_attention
        assert (module.scaled_dot_product_attention, module.swiglu) == own
    finally:
        sys.modules.pop(module.__name__, None)


def test_a_cache_that_attends_by_itself_is_asked() -> None:
    cache = codes_cache(mlx_lm_cache.KVCache(), KVSetting(8, 8, 32, start=3))
    x = mx.array(np.random.default_rng(0).standard_normal((1, 2, 3, 32)).astype(np.float32))
    held = cache.update_and_fetch(x, x)
    with patched():
        plain = llama.scaled_dot_product_attention(x, *held, cache, scale=0.2, mask="causal")
        cache.convert()
        held = cache.stored
        asked = llama.scaled_dot_product_attention(x, *held, cache, scale=0.2, mask="causal")
    expected = mx.fast.scaled_dot_product_attention(x, x, x, scale=0.2, mask="causal")
    assert mx.array_equal(plain, expected)
    assert mx.array_equal(asked, cache.attend(x, *held, 0.2, "causal", None))
    assert not mx.array_equal(asked, expected)


def test_numpys_blas_is_kept_to_one_thread_until_the_last_block_ends() -> None:
    found = threads._numpy_blas()
    if found is None:
        pytest.skip("NumPy's BLAS is not the OpenBLAS of its wheels")
    get, put = found
    before = get()
    put(2)
    try:
        inside, leave = threading.Event(), threading.Event()

        def other() -> None:
            with threads.single_threaded_numpy_blas:
                inside.set()
                leave.wait(DEADLINE)

        thread = threading.Thread(target=other)
        with threads.single_threaded_numpy_blas:
            thread.start()
            assert inside.wait(DEADLINE) and get() == 1
        assert get() == 1
        leave.set()
        thread.join(20)
        assert get() == 2
    finally:
        put(before)


# Several threads score at once, each with a module of its own over the same arrays.


@pytest.fixture(scope="module")
def weights() -> nn.Module:
    return build_module(tiny_config("llama", head_dim=64, **SMALL))


def skeleton(weights: nn.Module) -> nn.Module:
    module = build_module(tiny_config("llama", head_dim=64, **SMALL))
    module.update(weights.parameters())
    return module


def results(module: nn.Module, arithmetic: str, kind: str, noisy: bool) -> list[Positions]:
    """Everything that is scored of one batch, in this thread."""
    with mx.stream(mx.cpu):
        split = SplitModel(module, arithmetic)
        split.check(lambda: fresh_caches(module), mx.array([[1, 2, 3, 4]]))
        wanted: list[Lane] = [kv_lane(split, s, kind) for s in parse_settings("8,k4v2:32,4@5")]
        reference: Lane = reference_lane(split)
        cell = batch()
        if noisy:
            noise = EmbeddingNoise(1, cell.chunks, cell.ids.shape[1] - 1)
            reference = PerturbedLane(reference_lane(split), noise)
            wanted = [
                PerturbedLane(kv_lane(split, s, kind), noise)
                for s in parse_settings("8,k4v2:32,4@5")
            ]
        loop = Loop(reference, Metrics("numpy"), VOCAB, lambda: False)
        outcomes = list(loop.score([ScoreTask(cell, wanted)]))
    return [p for outcome in outcomes if isinstance(outcome, Scored) for p in outcome.chunks]


def test_threads_that_score_at_once_give_the_numbers_of_each_alone(weights: nn.Module) -> None:
    kinds = [
        (NUMPY, DEQUANTIZED, False),
        (MLX, DEQUANTIZED, False),
        (NUMPY, DEQUANTIZED, True),
        (MLX, CODES, False),
    ]
    before = places()
    alone = [results(skeleton(weights), *kind) for kind in kinds]
    assert not np.array_equal(alone[0][0].nll_ref, alone[1][0].nll_ref), "one arithmetic for both"
    assert not np.array_equal(alone[0][0].nll_ref, alone[2][0].nll_ref), "no noise"
    modules = [skeleton(weights) for _ in kinds]
    start = threading.Barrier(len(kinds))

    def repeated(module: nn.Module, kind: tuple[str, str, bool]) -> list[list[Positions]]:
        start.wait(DEADLINE)
        return [results(module, *kind) for _ in range(3)]

    with ThreadPoolExecutor(len(kinds)) as pool:
        futures = [pool.submit(repeated, m, k) for m, k in zip(modules, kinds, strict=True)]
        together = [future.result(120) for future in futures]
    for expected, times in zip(alone, together, strict=True):
        for found in times:
            assert len(found) == len(expected) == 9
            for a, b in zip(found, expected, strict=True):
                for field in fields(Positions):
                    np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name))
    assert places() == before
