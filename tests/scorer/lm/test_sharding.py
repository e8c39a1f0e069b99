"""A model split over ranks: what is refused, and how large a part is."""

from __future__ import annotations

import dataclasses
from typing import Any

import mlx.nn as nn
import pytest

from scorer.common.errors import InputError
from scorer.lm.sharding import Sharding, shardable
from scorer.models.resolve import resolve_model
from scorer.models.sizes import model_sizes
from scorer.spec.geometry import KVLayer


@pytest.mark.parametrize(("ranks", "words"), [(2, ""), (3, "4 query heads"), (4, "2 KV heads")])
def test_heads_that_cannot_be_shared_are_refused(ranks: int, words: str) -> None:
    info = resolve_model("demo")
    if not words:
        return Sharding("tensor", None, ranks).check(info)
    with pytest.raises(InputError, match=f"{words} of `demo` cannot be shared by {ranks} ranks"):
        Sharding("tensor", None, ranks).check(info)


def test_every_rank_has_a_layer() -> None:
    info = resolve_model("demo")
    Sharding("pipeline", None, 5).check(info)
    with pytest.raises(InputError, match="5 layers of `demo` cannot be shared by 6 ranks"):
        Sharding("pipeline", None, 6).check(info)
    assert {"qwen2", "deepseek_v3"} <= set(shardable("pipeline"))
    assert "llama" not in shardable("pipeline")


def test_a_latent_head_stays_whole() -> None:
    info = resolve_model("demo")
    latent = dataclasses.replace(
        info.geometry, layers=tuple(KVLayer(1, 512, 64, kind="latent") for _ in range(5))
    )
    Sharding("tensor", None, 4).check(dataclasses.replace(info, geometry=latent))


def test_an_architecture_without_it_is_refused_with_those_that_have_it() -> None:
    with pytest.raises(InputError, match="cannot split this architecture") as error:
        Sharding("tensor", None, 2).apply(nn.Linear(2, 2))
    assert "llama" in error.value.hint and "qwen3" in error.value.hint
    found = shardable("tensor")
    assert len(found) >= 20 and "gemma3" not in found


def test_what_mlx_lm_refuses_is_said() -> None:
    class Odd(nn.Module):
        def shard(self, group: Any) -> None:
            raise ValueError("512 is not divisible by 3")

    with pytest.raises(InputError, match="cannot be split over 3 ranks: 512 is not"):
        Sharding("tensor", None, 3).apply(Odd())


def test_a_part_holds_embedding_and_output_layer_whole() -> None:
    whole = model_sizes(resolve_model("demo"))
    part = Sharding("tensor", None, 2).sizes(whole)
    both = 2 * whole.vocab * whole.hidden * whole.element_bytes
    assert part.stored_bytes == both + (whole.stored_bytes - both) // 2
    assert (part.heads, part.inner) == (whole.heads // 2, whole.inner // 2)
    assert part.dense_bytes == whole.dense_bytes
