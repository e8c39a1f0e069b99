"""What scores the batches that one process is given."""

from __future__ import annotations

from collections.abc import Callable

from scorer.common.device_kind import DeviceKind
from scorer.device.pipeline import choose_pipeline
from scorer.engine.loop import Loop
from scorer.engine.prepared import Prepared
from scorer.fit.pass_size import PassSize
from scorer.lanes.base import Lane
from scorer.metrics.reduce import Metrics


def batch_scorer(
    prepared: Prepared,
    reference: Lane,
    metrics: Metrics,
    device: DeviceKind,
    size: PassSize,
    stop: Callable[[], bool],
) -> Loop:
    """The loop over batches of a job.

    Args:
        prepared: The job.
        reference: What all lanes are compared with.
        metrics: How logits become scalars.
        device: What it is scored on.
        size: How much goes through a model at once.
        stop: Asked often; True interrupts the loop.
    """
    pipeline = choose_pipeline(device, size.batch)
    for split in prepared.splits():
        split.layers_ahead = pipeline.layers
    return Loop(
        reference,
        metrics,
        prepared.vocab,
        stop,
        tile_bytes=size.tile_bytes,
        keep_bytes=size.keep_bytes,
        ahead=pipeline.tiles,
    )
