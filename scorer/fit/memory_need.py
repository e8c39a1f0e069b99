"""Estimates the peak memory of a run, before anything is loaded.

Imports no mlx: the scorer calls it before it loads a model, the app before it starts a scorer. The
estimate adds what the loop holds at its peak; tests compare it with measured peaks.
"""

from __future__ import annotations

from dataclasses import dataclass

from scorer.common.device_kind import DeviceKind
from scorer.fit.pass_size import PassSize
from scorer.models.sizes import ModelSizes
from scorer.spec.job import Job
from scorer.spec.settings.weights import caches_of

SCORES_BYTES = 64 << 20
"""Bytes of attention scores above which the queries of a chunk are processed in blocks."""
KEPT_BUFFERS = 128 << 20
"""Bytes of freed buffers that are not returned to the system, of each worker."""
# Python, MLX, tokenizer and text before the model, and memory that the allocator does not return.
_PROCESS = 260 << 20
_SLACK = {"cpu": 100 << 20, "cuda": 512 << 20, "metal": 256 << 20}
# Tokens by which the buffers of a cache grow.
_CACHE_STEP = 256
# A quantized lane holds the new keys and values, the quantized ones, and the buffer of the cache.
_LANE_CACHES = 3
# Passes, or tiles, that are dispatched to a GPU at the same time.
_IN_FLIGHT = 2
# Head dimensions for which the GPU backends have fused attention, which does not store the scores.
FUSED_DIMENSIONS = {"metal": (64, 80, 128), "cuda": (32, 64, 80, 96, 128)}


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that a run takes at its peak.

    Attributes:
        process: Memory of the process before the model is loaded, and slack of the allocator.
        weights: The weights in the form that this device computes with.
        caches: Keys and values of the current lane of every worker.
        attention: Attention scores and activations of a layer, of every worker.
        kept: Hidden states and reference logits that are kept after a forward pass, likewise.
        tile: Logits of a candidate while they are reduced to scalars, likewise.
        loading: The largest tensor while it is converted at load time.
        workers: Batches that are scored at once.
    """

    process: int
    weights: int
    caches: int
    attention: int
    kept: int
    tile: int
    loading: int
    workers: int = 1

    @property
    def total(self) -> int:
        """Bytes at the peak."""
        forward = self.caches + self.attention
        # Tiles follow the pass, but not all memory of the pass is returned.
        unreturned = min(forward, self.tile, self.workers * KEPT_BUFFERS)
        work = self.kept + max(forward, self.tile) + unreturned
        return self.process + self.weights + max(self.loading, work)


def need(
    model: ModelSizes,
    job: Job,
    device: DeviceKind,
    size: PassSize,
    *,
    length: int | None = None,
    in_use: int = _PROCESS,
    beside: int = 0,
) -> Need:
    """Estimate the memory that scoring a job takes.

    Args:
        model: Sizes of the model.
        job: The job.
        device: The device that scores; the CPU computes with dense float32 weights.
        size: Size of a forward pass and of a tile.
        length: Tokens per chunk; None for the length in the job.
        in_use: Bytes in use before the model is loaded, by this process on the CPU, on the device
            for a GPU.
        beside: Bytes of the weights that are in memory beside the reference's.
    """
    cpu = device == "cpu"
    passes = 1 if cpu else _IN_FLIGHT
    tokens = (job.chunk_length if length is None else length) - 1
    element = 4 if cpu else model.element_bytes
    rows = size.batch * tokens
    held = size.batch * (-(-tokens // _CACHE_STEP) * _CACHE_STEP)
    per_token = sum(layer.kv_heads * (layer.k_dim + layer.v_dim) for layer in model.geometry.layers)
    activations = rows * (6 * model.hidden + 3 * model.inner) * element * (1 if cpu else 3)
    kept, tile = _logits(model, job, device, size, tokens)
    return Need(
        # Each thread that computes has memory of its own that is not returned.
        process=in_use + size.workers * _SLACK[device],
        weights=beside + (model.dense_bytes if cpu else model.stored_bytes),
        caches=size.workers * passes * _LANE_CACHES * held * per_token * element,
        attention=size.workers
        * (_scores(model, job, device, size.batch, tokens) + passes * activations),
        kept=size.workers
        * (
            kept
            + 2 * rows * model.hidden * element
            + _prefix_tokens(job, size.batch, tokens) * per_token * element
        ),
        tile=size.workers * tile,
        loading=model.largest_bytes * 5 // 4 if cpu else 0,
        workers=size.workers,
    )


def layers_bytes(model: ModelSizes, device: DeviceKind) -> int:
    """Bytes of a model's weights without embedding and output layer, at least."""
    element = 4 if device == "cpu" else model.element_bytes
    whole = model.dense_bytes if device == "cpu" else model.stored_bytes
    return max(0, whole - 2 * model.vocab * model.hidden * element)


def _prefix_tokens(job: Job, batch: int, tokens: int) -> int:
    """Return the tokens of full-precision caches that deployment settings keep after a pass."""
    starts = {setting.start for setting in job.settings} - {0}
    return batch * max(tokens, sum(starts)) if starts else 0


def _scores(model: ModelSizes, job: Job, device: DeviceKind, batch: int, tokens: int) -> int:
    """Return the bytes of the attention scores of one layer, 0 if attention is fused."""
    scores = batch * model.heads * tokens * tokens
    if device == "cpu":
        # Masked and normalized in place, in blocks of at least 64 queries.
        block = max(SCORES_BYTES, 4 * batch * model.heads * 64 * tokens)
        return min(4 * scores + 4 * tokens * tokens, 2 * block)
    fused = all(
        layer.k_dim == layer.v_dim and layer.k_dim in FUSED_DIMENSIONS[device]
        for layer in model.geometry.layers
    )
    if fused and all(cache.path == "dequantized" for cache in caches_of(job.settings)):
        return 0
    block = max(SCORES_BYTES, model.element_bytes * batch * model.heads * 64 * tokens)
    return 3 * min(model.element_bytes * scores, block)


def _logits(
    model: ModelSizes, job: Job, device: DeviceKind, size: PassSize, tokens: int
) -> tuple[int, int]:
    """Return the bytes kept after a pass, and the bytes used for one tile of a candidate."""
    row = 4 * model.vocab
    tile = min(size.batch * tokens, max(size.batch, size.tile_bytes // row)) * row
    if device == "cpu":
        element, reducing = 4, tile
    else:
        # The logits in the model's dtype, and temporary arrays of the reduction: log-softmax and KL
        # without the fused kernel peak at nine times the float32 logits (measured on an H100).
        element = model.element_bytes
        reducing = 8 * tile + _IN_FLIGHT * tile * element // 4
    whole = row * size.batch * tokens
    if 2 * whole <= size.keep_bytes:
        return whole, reducing
    lanes = len(job.settings) * (2 if job.control else 1)
    states = (lanes - 1) * size.batch * tokens * model.hidden * element
    return states, tile + reducing
