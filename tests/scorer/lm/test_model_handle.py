"""A shared model is kept as long as somebody uses it, and no longer."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import mlx.core as mx
import mlx.nn as nn
import pytest
from tiny_configs import tiny_config
from tiny_models import build_module

from scorer.common.errors import QfidError
from scorer.lanes.base import ReferenceLane
from scorer.lanes.kv.lane import DEQUANTIZED, KVLane
from scorer.lm.model_handle import ModelHandle
from scorer.lm.split_model import SplitModel
from scorer.spec.settings.kv import KVSetting


@pytest.fixture(autouse=True)
def _on_the_cpu_device() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


def built() -> nn.Module:
    return build_module(tiny_config("llama", head_dim=64))


def test_the_last_user_frees_the_arrays() -> None:
    module = built()
    mx.eval(module.parameters())
    gc.collect()
    before = mx.get_active_memory()
    size = sum(m["weight"].nbytes for m in module.modules() if "weight" in m)
    handle = ModelHandle(SplitModel(module))
    assert handle.acquire() is handle.split
    handle.release()
    assert not handle.closed and handle.split.model is module
    handle.release()
    assert handle.closed
    gc.collect()
    # The module is still held here; what it weighed is not.
    assert mx.get_active_memory() <= before - size
    assert not module.parameters()


def test_arrays_that_another_module_shares_stay() -> None:
    module, other = built(), built()
    other.update(module.parameters())
    ModelHandle(SplitModel(module)).release()
    logits = other(mx.array([[1, 2, 3]]))
    assert logits.shape[:2] == (1, 3) and bool(mx.isfinite(logits).all())


def test_a_closed_model_is_not_used() -> None:
    handle = ModelHandle(SplitModel(built()))
    lane = KVLane(handle, KVSetting(8, 8, 32), DEQUANTIZED)
    handle.release()
    for use in (
        handle.acquire,
        handle.release,
        lane.acquire,
        lambda: lane.begin(mx.array([[1, 2]])),
        lambda: lane.logits(mx.zeros((1, 2, 64)), 0, 1),
    ):
        with pytest.raises(QfidError, match="closed already"):
            use()


def test_lanes_count() -> None:
    handle = ModelHandle(SplitModel(built()))
    lanes = [ReferenceLane(handle), KVLane(handle, KVSetting(8, 8, 32), DEQUANTIZED)]
    for lane in lanes:
        lane.acquire()
    handle.release()
    lanes[0].release()
    assert not handle.closed
    assert lanes[1].hidden(mx.array([[1, 2, 3]])).shape[:2] == (1, 3)
    lanes[1].release()
    assert handle.closed
