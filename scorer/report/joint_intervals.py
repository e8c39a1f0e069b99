"""The intervals that the criteria of all settings of a report hold together with."""

from __future__ import annotations

import numpy as np

from scorer.report.setting_row import JointIntervals
from scorer.stats.intervals import Units
from scorer.stats.look_intervals import LookValues, look_intervals
from scorer.stats.positions import FloatArray
from scorer.stats.stopping import look_confidence
from scorer.stats.summary_values import ChunkSums


def joint_intervals(
    kl: FloatArray, sums: ChunkSums, units: Units, settings: int
) -> JointIntervals | None:
    """The intervals of one setting: those of a run that looks once, when all is scored.

    Args:
        kl: (N,) float64, KL of its positions in order of chunk, nats.
        sums: Sums of its chunks.
        units: The units of the same chunks.
        settings: Settings of the report.

    Returns:
        None where the units of the chunks are not given.
    """
    if len(units.of_chunk) != len(sums.chunks):
        return None
    unit_of = np.repeat(np.array(units.of_chunk, np.intp), sums.sizes)
    values = LookValues(kl, unit_of, np.bincount(unit_of, minlength=units.count))
    confidence = look_confidence(settings, 1)
    found = look_intervals(sums, values, units, confidence)
    return JointIntervals(
        confidence=confidence,
        n_settings=settings,
        kl_mean=found["kl_mean"],
        kl_p99=found["kl_p99"],
        flip_rate=found["flip_rate"],
    )
