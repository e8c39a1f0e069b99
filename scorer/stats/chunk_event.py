"""The event of a scored chunk, computed from its positions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from scorer.spec.events import ChunkScored
from scorer.stats.depth import depth_edges
from scorer.stats.positions import Positions
from scorer.stats.quantiles import quantile
from scorer.stats.running_p99 import RunningP99


def chunk_event(
    setting: str,
    positions: Positions,
    seconds: float,
    so_far: RunningP99 | None = None,
    *,
    whole: bool = True,
) -> ChunkScored:
    """Make the event of one setting scored on one chunk.

    Args:
        setting: Notation of the setting.
        positions: All scored positions of the chunk, in order.
        seconds: Wall time of the setting's forward pass and metrics.
        so_far: The setting's positions until now, these included.
        whole: Whether they follow each other: where only some roles of a text count, spans of
            depth hold different numbers of them.
    """
    kl = positions.kl
    return ChunkScored(
        setting=setting,
        chunk=int(positions.chunk[0]),
        positions=len(positions),
        kl_mean=float(kl.mean()),
        kl_max=float(kl.max()),
        kl_p99=quantile(kl, 0.99),
        flips=int(positions.flips.sum()),
        nll_ref=float(positions.nll_ref.sum()),
        nll_quant=float(positions.nll_quant.sum()),
        seconds=seconds,
        kl_by_depth=[float(kl[a:b].sum()) for a, b in pairwise(depth_edges(len(positions)))]
        if whole
        else [],
        kl_squares=float(np.square(kl).sum()),
        kl_p99_so_far=None if so_far is None else so_far.value,
        positions_so_far=0 if so_far is None else so_far.positions,
    )
