"""Which arithmetic computes each setting on this device, and what the model's caches are like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import mlx.core as mx
from mlx_lm.models import cache as mlx_lm_cache

from scorer.common.device_kind import DeviceKind
from scorer.common.errors import InputError
from scorer.lanes.kv.attention_kernels import trial_length
from scorer.lanes.kv.lane import CODES, DEQUANTIZED, MLX_LM, KVLane, mlx_lm_class_holds
from scorer.lm.caches import cloned, fresh_caches, holds_kv, is_filled, walk
from scorer.lm.split_model import SplitModel
from scorer.spec.geometry import KVGeometry
from scorer.spec.job import Job
from scorer.spec.settings.kv import KVSetting, control_setting

# What a forward pass over a cache raises where an architecture cannot work with it.
CANNOT_RUN = (AttributeError, TypeError, ValueError, IndexError, KeyError, NotImplementedError)

MlxLm = Literal["here", "elsewhere", "nowhere"]


@dataclass(frozen=True, slots=True)
class PlannedSetting:
    """One row of the report and how it is computed.

    Attributes:
        setting: The setting.
        arithmetic: ``dequantized``, ``codes`` or ``mlx-lm``.
        computed_as: The setting under which its numbers are stored: an earlier one of the job
            that comes to the same computation on this device, or itself.
        mlx_lm: Where ``mlx_lm.generate`` can run the setting on this model: on this device, on
            others only (MLX has no quantized matmul for grouped queries on CUDA), or nowhere.
        control_of: The deployed setting this one is the control of, or None for a row of its own.
    """

    setting: KVSetting
    arithmetic: str
    computed_as: KVSetting
    mlx_lm: MlxLm
    control_of: KVSetting | None = None

    @property
    def runnable_by_mlx_lm(self) -> bool:
        """Whether ``mlx_lm.generate`` can run the setting on this model, on some device."""
        return self.mlx_lm != "nowhere"

    @property
    def same_as(self) -> KVSetting | None:
        """The other setting whose numbers these are, or None."""
        return None if self.computed_as == self.setting else self.computed_as


def plan_settings(
    job: Job, split: SplitModel, device: DeviceKind, geometry: KVGeometry
) -> list[PlannedSetting]:
    """Choose the arithmetic of every setting, controls included, and find the ones that coincide.

    Args:
        job: The job.
        split: The model.
        device: Where it runs.
        geometry: Of its caches, from :func:`measured_geometry`.

    Source: definitions, "Which arithmetic runs".
    """
    dims = [(layer.k_dim, layer.v_dim) for layer in geometry.layers]
    filled = fresh_caches(split.model)
    mx.eval(split.hidden(mx.zeros((1, 2), mx.int32), filled))
    planned: list[PlannedSetting] = []
    computed: dict[tuple[Any, ...], KVSetting] = {}

    def add(setting: KVSetting, control_of: KVSetting | None) -> None:
        arithmetic = _arithmetic(setting, job, split, device, dims)
        key = (
            setting.k_bits,
            setting.v_bits,
            setting.group_size,
            setting.start,
            setting.quantizer,
            arithmetic,
        )
        computed_as = computed.setdefault(key, setting)
        planned.append(
            PlannedSetting(
                setting,
                arithmetic,
                computed_as,
                where_generate_runs(split, setting, filled),
                control_of,
            )
        )

    for setting in job.settings:
        add(setting, None)
    if job.control:
        for setting in job.settings:
            if setting.path == "deployed":
                add(control_setting(setting), setting)
    return planned


def _arithmetic(
    setting: KVSetting,
    job: Job,
    split: SplitModel,
    device: DeviceKind,
    dims: list[tuple[int, int]],
) -> str:
    if setting.path == "dequantized":
        return DEQUANTIZED
    if device == "cpu" and job.kernel == "auto":
        # In float32 both are the same function up to rounding, and this one is five times faster.
        return DEQUANTIZED
    own_class = mlx_lm_class_holds(fresh_caches(split.model), setting, dims)
    if own_class and (job.kernel == "mlx-lm" or device == "metal"):
        if _runs(KVLane(split, setting, MLX_LM)):
            return MLX_LM
    # On CUDA other kernels, compiled for half a minute each, do a pass over two tokens.
    tokens = trial_length(job.chunk_length - 1) if device == "cuda" else 2
    return CODES if _runs(KVLane(split, setting, CODES), tokens) else DEQUANTIZED


def _runs(lane: KVLane, behind: int = 2) -> bool:
    """Whether a forward pass over a few tokens gets through, ``behind`` of them quantized."""
    tokens = lane.setting.start + behind if lane.setting.start < 8 else 0
    try:
        if tokens:
            lane.hidden(mx.zeros((1, tokens), mx.int32))
        else:
            # The prefix is long; the pass behind it is what can fail.
            short = KVSetting(
                lane.setting.k_bits, lane.setting.v_bits, lane.setting.group_size, start=2
            )
            tokens = short.start + behind
            KVLane(lane.split, short, lane.arithmetic).hidden(mx.zeros((1, tokens), mx.int32))
    except (*CANNOT_RUN, InputError):
        return False
    except RuntimeError as error:
        if not _no_kernel(error):
            raise
        return False
    return True


def _no_kernel(error: RuntimeError) -> bool:
    """Whether MLX says that this device has no kernel for a shape, rather than that it failed."""
    return "No implementation" in str(error)


def where_generate_runs(split: SplitModel, setting: KVSetting, filled: list[Any]) -> MlxLm:
    """Where ``mlx_lm.generate --kv-bits`` can run this setting on this model.

    It fills plain caches, converts those that offer ``to_quantized`` and goes on: one width for
    both sides, rotating caches raise, chunked and composite ones are passed over in silence. A
    model of which it quantizes only a part does not run the setting. Tried here on three tokens.

    Args:
        split: The model.
        setting: The setting.
        filled: Its caches after two tokens at full precision; they stay as they are.
    """
    if setting.k_bits != setting.v_bits:
        return "nowhere"
    try:
        caches = [cloned(cache) for cache in filled]
        converted = [
            cache.to_quantized(group_size=setting.group_size, bits=setting.k_bits)
            if hasattr(cache, "to_quantized")
            else cache
            for cache in caches
        ]
        kept = [e.cache for e in walk(converted) if holds_kv(e.cache) and is_filled(e.cache)]
        if not kept or not all(isinstance(c, mlx_lm_cache.QuantizedKVCache) for c in kept):
            return "nowhere"
        mx.eval(split.hidden(mx.zeros((1, 1), mx.int32), converted))
    except CANNOT_RUN:
        return "nowhere"
    except RuntimeError as error:
        if not _no_kernel(error):
            raise
        return "elsewhere"
    return "here"
