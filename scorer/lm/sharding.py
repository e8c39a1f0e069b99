"""A model split over ranks: mlx-lm's own tensor parallelism, checked before it is used.

Each rank keeps its heads of attention and its columns of the feed-forward layers; embedding, norms
and output layer are on every rank. In each layer two sums over all ranks make the hidden states
whole again, so every rank has all logits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.nn as nn
import mlx_lm.models

from scorer.common.errors import InputError
from scorer.models.info import ModelInfo
from scorer.models.sizes import ModelSizes


@dataclass(frozen=True, slots=True)
class Sharding:
    """How a model is split.

    Attributes:
        group: The ranks, MLX's.
        size: How many there are.
    """

    group: Any
    size: int

    def described(self) -> str:
        """How products are computed, for the run's arithmetic."""
        return f"tensor-parallel on {self.size} ranks"

    def check(self, info: ModelInfo) -> None:
        """Check that a model can be split.

        Raises:
            InputError: Its heads cannot be shared evenly.
        """
        heads, kv_heads = info.query_heads, [layer.kv_heads for layer in _split_layers(info)]
        for count, what in ((heads, "query heads"), *((n, "KV heads") for n in set(kv_heads))):
            if count is not None and count % self.size:
                raise InputError(
                    f"{count} {what} of `{info.name}` cannot be shared by {self.size} ranks",
                    "take a number of ranks that divides its heads, or leave out --shard",
                )

    def apply(self, module: nn.Module) -> None:
        """Keep this rank's part of a model; the other weights are never read where they are lazy.

        Raises:
            InputError: mlx-lm cannot split it.
        """
        shard = getattr(module, "shard", None)
        if shard is None:
            raise InputError(
                "mlx-lm cannot split this architecture over ranks",
                f"it can split {', '.join(shardable())}",
            )
        try:
            shard(self.group)
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(
                f"the model cannot be split over {self.size} ranks: {error}",
                "take another number of ranks, or leave out --shard",
            ) from error

    def sizes(self, sizes: ModelSizes) -> ModelSizes:
        """Sizes of the part of one rank: the embedding and the output layer are on each."""
        on_each = min(sizes.stored_bytes, 2 * sizes.vocab * sizes.hidden * sizes.element_bytes)
        return dataclasses.replace(
            sizes,
            stored_bytes=on_each + (sizes.stored_bytes - on_each) // self.size,
            heads=max(1, sizes.heads // self.size),
            inner=max(1, sizes.inner // self.size),
        )


def _split_layers(info: ModelInfo) -> Iterator[Any]:
    """The caches whose heads are shared; one latent head for all stays whole."""
    return (layer for layer in info.geometry.layers if layer.kind not in ("latent", "index"))


def shardable() -> list[str]:
    """The architectures that mlx-lm can split, by their files."""
    folder = Path(mlx_lm.models.__file__ or "").parent
    return sorted(
        path.stem
        for path in folder.glob("*.py")
        if "    def shard(self" in path.read_text(encoding="utf-8", errors="replace")
    )
