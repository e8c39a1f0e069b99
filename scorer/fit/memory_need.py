"""Whether a run fits, before anything is loaded, and how much goes through the model at once.

No mlx import: the scorer asks before it loads a model, the app before it starts a scorer. The
estimate follows what the loop holds at its fullest moment and is held against measured peaks.
"""

from __future__ import annotations

from dataclasses import dataclass

from scorer.common.device_kind import DeviceKind
from scorer.fit.pass_size import PassSize
from scorer.models.sizes import ModelSizes
from scorer.spec.job import Job

SCORES_BYTES = 64 << 20
"""Bytes of attention scores beyond which a chunk's queries go through in blocks."""
# Python, MLX, tokenizer and text before the model, and what the allocator does not give back.
_PROCESS = 260 << 20
_SLACK = {"cpu": 100 << 20, "cuda": 512 << 20, "metal": 256 << 20}
# Freed pieces too small to be given back to the system at once.
_FRAGMENTS = 128 << 20
# Buffers of a cache grow by so many tokens.
_CACHE_STEP = 256
# A quantized lane holds what came in, what the quantizer made of it, and the cache's buffer.
_LANE_CACHES = 3
# A GPU is given the next pass, or tile, before it has done the last.
_AT_ONCE = 2
# Head dimensions for which a GPU has attention that never writes the scores out.
FUSED_DIMENSIONS = {"metal": (64, 80, 128), "cuda": (32, 64, 80, 96, 128)}


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes a run takes at its fullest moment.

    Attributes:
        process: What the process holds before the model is loaded, and the allocator's slack.
        weights: The weights as they are computed with on this device.
        caches: Keys and values of the lane at work.
        attention: Attention scores and activations of a layer.
        kept: Hidden states and reference logits that outlive a forward pass.
        tile: Logits of a candidate on their way to scalars.
        loading: The largest tensor while it is converted, before anything else is there.
    """

    process: int
    weights: int
    caches: int
    attention: int
    kept: int
    tile: int
    loading: int

    @property
    def total(self) -> int:
        """The peak."""
        forward = self.caches + self.attention
        # A pass and its tiles come one after the other, but not all of the one is given back.
        behind = min(forward, self.tile, _FRAGMENTS)
        work = self.kept + max(forward, self.tile) + behind
        return self.process + self.weights + max(self.loading, work)


def need(
    model: ModelSizes,
    job: Job,
    device: DeviceKind,
    size: PassSize,
    *,
    length: int | None = None,
    in_use: int = _PROCESS,
) -> Need:
    """Estimate what scoring a job takes.

    Args:
        model: Sizes of the model.
        job: The job.
        device: Where it is scored: the CPU computes with dense float32 weights.
        size: How much goes through at once.
        length: Tokens per chunk; None for the job's own.
        in_use: Bytes in use before the model is loaded: of this process on the CPU, of the device
            on a GPU.
    """
    cpu = device == "cpu"
    passes = 1 if cpu else _AT_ONCE
    tokens = (job.chunk_length if length is None else length) - 1
    element = 4 if cpu else model.element_bytes
    rows = size.batch * tokens
    held = size.batch * (-(-tokens // _CACHE_STEP) * _CACHE_STEP)
    per_token = sum(layer.kv_heads * (layer.k_dim + layer.v_dim) for layer in model.geometry.layers)
    activations = rows * (6 * model.hidden + 3 * model.inner) * element * (1 if cpu else 3)
    kept, tile = _logits(model, job, device, size, tokens)
    return Need(
        process=in_use + _SLACK[device],
        weights=model.dense_bytes if cpu else model.stored_bytes,
        caches=passes * _LANE_CACHES * held * per_token * element,
        attention=_scores(model, job, device, size.batch, tokens) + passes * activations,
        kept=kept
        + 2 * rows * model.hidden * element
        + _prefix_tokens(job, size.batch, tokens) * per_token * element,
        tile=tile,
        loading=model.largest_bytes * 5 // 4 if cpu else 0,
    )


def _prefix_tokens(job: Job, batch: int, tokens: int) -> int:
    """Tokens of full-precision caches kept beyond a pass, for the settings of a deployment."""
    starts = {setting.start for setting in job.settings} - {0}
    return batch * max(tokens, sum(starts)) if starts else 0


def _scores(model: ModelSizes, job: Job, device: DeviceKind, batch: int, tokens: int) -> int:
    """Bytes of attention scores of one layer, where they are written out."""
    scores = batch * model.heads * tokens * tokens
    if device == "cpu":
        # Masked and normalized in place; blocks of queries keep them small, of 64 at the least.
        block = max(SCORES_BYTES, 4 * batch * model.heads * 64 * tokens)
        return min(4 * scores + 4 * tokens * tokens, 2 * block)
    fused = all(
        layer.k_dim == layer.v_dim and layer.k_dim in FUSED_DIMENSIONS[device]
        for layer in model.geometry.layers
    )
    if fused and all(setting.path == "dequantized" for setting in job.settings):
        return 0
    block = max(SCORES_BYTES, model.element_bytes * batch * model.heads * 64 * tokens)
    return 3 * min(model.element_bytes * scores, block)


def _logits(
    model: ModelSizes, job: Job, device: DeviceKind, size: PassSize, tokens: int
) -> tuple[int, int]:
    """Bytes kept beyond a pass, and bytes of a candidate's tile at work."""
    row = 4 * model.vocab
    tile = min(size.batch * tokens, max(size.batch, size.tile_bytes // row)) * row
    if device == "cpu":
        element, at_work = 4, tile
    else:
        # The logits in the model's dtype, then arrays of a tile on the way to its scalars: plain
        # log-softmax and KL of a batch peak at nine times its float32 logits (measured on an H100).
        element = model.element_bytes
        at_work = 8 * tile + _AT_ONCE * tile * element // 4
    whole = row * size.batch * tokens
    if 2 * whole <= size.keep_bytes:
        return whole, at_work
    lanes = len(job.settings) * (2 if job.control else 1)
    states = (lanes - 1) * size.batch * tokens * model.hidden * element
    return states, tile + at_work
