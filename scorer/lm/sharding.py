"""A model split over ranks: mlx-lm's own tensor and pipeline parallelism, checked before use.

Tensor: each rank keeps its heads of attention and its columns of the feed-forward layers, and in
each layer two sums over all ranks make the hidden states whole again. Pipeline: each rank keeps
some layers, the last rank the first ones, and the states go from one to the next. Embedding, norm
and output layer are on every rank, and so are the final states: every rank has all logits.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.nn as nn
import mlx_lm.models

from scorer.common.errors import InputError
from scorer.models.info import ModelInfo
from scorer.models.sizes import ModelSizes
from scorer.spec.ranks import PIPELINE, TENSOR

_DEFINED_BY = {TENSOR: "    def shard(self", PIPELINE: "(PipelineMixin"}


@dataclass(frozen=True, slots=True)
class Sharding:
    """How a model is split.

    Attributes:
        kind: ``tensor`` or ``pipeline``.
        group: The ranks, MLX's.
        size: How many there are.
    """

    kind: str
    group: Any
    size: int

    def described(self) -> str:
        """How the model is split, for the run's arithmetic."""
        return f"{self.kind}-parallel on {self.size} ranks"

    def check(self, info: ModelInfo) -> None:
        """Check that a model can be split.

        Raises:
            InputError: There are more ranks than layers, or its heads cannot be shared evenly.
        """
        layers = info.geometry.layers
        if self.kind == PIPELINE:
            counts = [(info.geometry.total_layers, "layers")]
            refused = [each for each in counts if each[0] < self.size]
        else:
            # One latent head for all stays whole.
            kv = {layer.kv_heads for layer in layers if layer.kind not in ("latent", "index")}
            counts = [(info.query_heads or self.size, "query heads")]
            counts += [(count, "KV heads") for count in sorted(kv)]
            refused = [each for each in counts if each[0] % self.size]
        for count, what in refused:
            raise InputError(
                f"{count} {what} of `{info.name}` cannot be shared by {self.size} ranks",
                "take another number of ranks, or leave out --shard",
            )

    def apply(self, module: nn.Module) -> None:
        """Keep this rank's part of a model; the other weights are never read where they are lazy.

        Raises:
            InputError: mlx-lm cannot split it.
        """
        owner = module if self.kind == TENSOR else getattr(module, "model", None)
        split = getattr(owner, "shard" if self.kind == TENSOR else "pipeline", None)
        if split is None:
            raise InputError(
                f"mlx-lm cannot split this architecture over ranks by `{self.kind}`",
                f"it can split {', '.join(shardable(self.kind))}",
            )
        try:
            split(self.group)
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(
                f"the model cannot be split over {self.size} ranks: {error}",
                "take another number of ranks, or leave out --shard",
            ) from error

    def sizes(self, sizes: ModelSizes) -> ModelSizes:
        """Sizes of the part of one rank: the embedding and the output layer are on each."""
        on_each = min(sizes.stored_bytes, 2 * sizes.vocab * sizes.hidden * sizes.element_bytes)
        part = dataclasses.replace(
            sizes, stored_bytes=on_each + (sizes.stored_bytes - on_each) // self.size
        )
        if self.kind == PIPELINE:
            return part
        return dataclasses.replace(
            part,
            heads=max(1, sizes.heads // self.size),
            inner=max(1, sizes.inner // self.size),
        )


def shardable(kind: str) -> list[str]:
    """The architectures that mlx-lm can split, by their files."""
    folder = Path(mlx_lm.models.__file__ or "").parent
    return sorted(
        path.stem
        for path in folder.glob("*.py")
        if _DEFINED_BY[kind] in path.read_text(encoding="utf-8", errors="replace")
    )
