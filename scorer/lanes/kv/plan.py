"""Which arithmetic computes each setting on this device, and what the model's caches are like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from scorer.common.device_kind import DeviceKind
from scorer.common.errors import InputError
from scorer.lanes.kv.attention_kernels import trial_length
from scorer.lanes.kv.generate_rule import (
    CANNOT_RUN,
    MlxLm,
    caches_of_two_tokens,
    lacks_kernel,
    where_generate_runs,
)
from scorer.lanes.kv.lane import (
    CODES,
    DEQUANTIZED,
    FULL_CACHE,
    MLX_LM,
    KVLane,
    mlx_lm_class_holds,
)
from scorer.lm.caches import fresh_caches
from scorer.lm.model_handle import ModelHandle
from scorer.spec.geometry import KVGeometry
from scorer.spec.job import Job
from scorer.spec.settings.base import Setting
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.weights import WeightsSource, cache_of, weights_of

RUNS_HERE: MlxLm = "here"


@dataclass(frozen=True, slots=True)
class PlannedSetting:
    """One row of the report and how it is computed.

    Attributes:
        setting: The setting.
        arithmetic: ``dequantized``, ``codes`` or ``mlx-lm``; ``full cache`` where the KV cache
            stays at full precision.
        computed_as: The setting under which its numbers are stored: an earlier one of the job
            that comes to the same computation on this device, or itself.
        mlx_lm: Where ``mlx_lm.generate`` can run the setting on this model: on this device, on
            others only (on CUDA MLX has no kernel for most), or nowhere.
        control_of: The deployed setting this one is the control of, or None for a row of its own.
    """

    setting: Setting
    arithmetic: str
    computed_as: Setting
    mlx_lm: MlxLm
    control_of: Setting | None = None

    @property
    def weights(self) -> WeightsSource | None:
        """Its weights; None for the reference's."""
        return weights_of(self.setting)

    @property
    def cache(self) -> KVSetting | None:
        """How it stores the KV cache; None for full precision."""
        return cache_of(self.setting)

    @property
    def runnable_by_mlx_lm(self) -> bool:
        """Whether ``mlx_lm.generate`` can run the setting on this model, on some device."""
        return self.mlx_lm != "nowhere"

    @property
    def same_as(self) -> Setting | None:
        """The other setting whose numbers these are, or None."""
        return None if self.computed_as == self.setting else self.computed_as


def plan_settings(
    job: Job, model: ModelHandle, device: DeviceKind, geometry: KVGeometry
) -> list[PlannedSetting]:
    """Choose the arithmetic of every setting, controls included, and find the ones that coincide.

    Args:
        job: The job.
        model: Handle of the reference. Settings with weights of their own have its architecture,
            and so its caches.
        device: Where it runs.
        geometry: Of its caches, from :func:`measured_geometry`.

    Source: definitions, "Which arithmetic runs".
    """
    dims = [(layer.k_dim, layer.v_dim) for layer in geometry.layers]
    split = model.split
    filled = caches_of_two_tokens(split.model)
    planned: list[PlannedSetting] = []
    computed: dict[tuple[Any, ...], Setting] = {}

    def add(setting: Setting, control_of: Setting | None) -> None:
        cache = cache_of(setting)
        arithmetic, runs_on = FULL_CACHE, RUNS_HERE
        if cache is not None:
            arithmetic = _arithmetic(cache, job, model, device, dims)
            runs_on = where_generate_runs(split.model, cache, filled, device)
        # The paths of one setting are the same computation where the arithmetic is.
        key = (setting.control(), arithmetic)
        computed_as = computed.setdefault(key, setting)
        planned.append(PlannedSetting(setting, arithmetic, computed_as, runs_on, control_of))

    for setting in job.settings:
        add(setting, None)
    if job.control:
        for setting in job.settings:
            if setting.path == "deployed" and cache_of(setting) is not None:
                add(setting.control(), setting)
    return planned


def _arithmetic(
    setting: KVSetting,
    job: Job,
    model: ModelHandle,
    device: DeviceKind,
    dims: list[tuple[int, int]],
) -> str:
    if setting.path == "dequantized":
        return DEQUANTIZED
    if device == "cpu" and job.kernel == "auto":
        # In float32 both are the same function up to rounding, and this one is five times faster.
        return DEQUANTIZED
    own_class = mlx_lm_class_holds(fresh_caches(model.split.model), setting, dims)
    if own_class and (job.kernel == "mlx-lm" or device == "metal"):
        if _runs(KVLane(model, setting, MLX_LM)):
            return MLX_LM
    # On CUDA other kernels, compiled for half a minute each, do a pass over two tokens.
    tokens = trial_length(job.chunk_length - 1) if device == "cuda" else 2
    return CODES if _runs(KVLane(model, setting, CODES), tokens) else DEQUANTIZED


def _runs(lane: KVLane, behind: int = 2) -> bool:
    """Whether a forward pass over a few tokens gets through, ``behind`` of them quantized."""
    tokens = lane.setting.start + behind if lane.setting.start < 8 else 0
    try:
        if tokens:
            lane.hidden(mx.zeros((1, tokens), mx.int32))
        else:
            # The prefix is long; the pass behind it is what can fail.
            short = KVSetting.of(lane.setting.keys, lane.setting.values, start=2)
            tokens = short.start + behind
            KVLane(lane.model, short, lane.arithmetic).hidden(mx.zeros((1, tokens), mx.int32))
    except (*CANNOT_RUN, InputError):
        return False
    except RuntimeError as error:
        if not lacks_kernel(error):
            raise
        return False
    return True
