"""Whether a run fits, before anything is loaded, and how much goes through the model at once.

No mlx import: the scorer asks before it loads a model, the app before it starts a scorer. The
estimate follows what the loop holds at its fullest moment and is held against measured peaks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from scorer.errors import WillNotFit
from scorer.host_memory import HostMemory
from scorer.job import Job
from scorer.model_sizes import ModelSizes

Device = Literal["metal", "cuda", "cpu"]

TILE_BYTES = 256 << 20
"""Bytes of one tile of float32 logits where memory is plenty."""
KEEP_TILES = 4
"""Reference logits of a batch are kept where twice their bytes are no more than so many tiles."""

SCORES_BYTES = 64 << 20
"""Bytes of attention scores beyond which a chunk's queries go through in blocks."""

_SMALLEST_TILE = 16 << 20
# Python, MLX, tokenizer and text before the model, and what the allocator does not give back.
_PROCESS = 260 << 20
_SLACK = {"cpu": 100 << 20, "cuda": 512 << 20, "metal": 256 << 20}
# Freed pieces too small to be given back to the system at once.
_FRAGMENTS = 128 << 20
# Buffers of a cache grow by so many tokens.
_CACHE_STEP = 256
# A quantized lane holds what came in, what the quantizer made of it, and the cache's buffer.
_LANE_CACHES = 3
# Tokens of a pass that keep a GPU busy; more only take memory (H100, 1B model in bfloat16: 2.9 ms a
# chunk of 512 with 2048 at once, 2.5 ms with 4096). A Mac's memory is its system's too.
_PASS_TOKENS = {"cuda": 4096, "metal": 2048}
# A GPU is given the next pass, or tile, before it has done the last.
_AT_ONCE = 2
# Head dimensions for which a GPU has attention that never writes the scores out.
FUSED_DIMENSIONS = {"metal": (64, 80, 128), "cuda": (32, 64, 80, 96, 128)}


@dataclass(frozen=True, slots=True)
class PassSize:
    """How much goes through the model at once.

    Attributes:
        batch: Chunks per forward pass.
        tile_bytes: Bytes of one tile of float32 logits.
    """

    batch: int
    tile_bytes: int = TILE_BYTES

    @property
    def keep_bytes(self) -> int:
        """Reference logits of a batch are kept for all settings where twice their bytes fit."""
        return KEEP_TILES * self.tile_bytes

    def smaller(self) -> PassSize | None:
        """The next smaller size: half the batch, then a quarter of the tile; None at the end."""
        if self.batch > 1:
            return dataclasses.replace(self, batch=self.batch // 2)
        if self.tile_bytes > _SMALLEST_TILE:
            return dataclasses.replace(self, tile_bytes=self.tile_bytes // 4)
        return None

    def described(self) -> str:
        """The size in words, as in "scored … with 2 chunks at a time"."""
        chunks = f"with {self.batch} chunk{'' if self.batch == 1 else 's'} at a time"
        tile = f" and tiles of {self.tile_bytes >> 20} MiB" if self.tile_bytes < TILE_BYTES else ""
        return chunks + tile

    def sizes(self) -> Iterator[PassSize]:
        """This size and every smaller one."""
        size: PassSize | None = self
        while size is not None:
            yield size
            size = size.smaller()


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


def default_batch(device: Device, chunk_length: int) -> int:
    """Chunks per forward pass where the job names none and memory is plenty."""
    return 1 if device == "cpu" else max(1, _PASS_TOKENS[device] // chunk_length)


def need(
    model: ModelSizes,
    job: Job,
    device: Device,
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


def _scores(model: ModelSizes, job: Job, device: Device, batch: int, tokens: int) -> int:
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
    model: ModelSizes, job: Job, device: Device, size: PassSize, tokens: int
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


def budget(memory: HostMemory, device: Device) -> int:
    """Bytes a run may take of what is free: on the CPU less what a machine needs to breathe."""
    return memory.available - memory.low if device == "cpu" else memory.available


def fitting(
    model: ModelSizes,
    job: Job,
    device: Device,
    memory: HostMemory,
    *,
    name: str,
    wanted: PassSize,
    in_use: int = 0,
    shorten: bool = True,
) -> PassSize:
    """The largest size up to ``wanted`` that fits.

    Args:
        model: Sizes of the model.
        job: The job; ``force`` takes a size in any case.
        device: Where it is scored.
        memory: What the device has, and has free.
        name: The model's name, for the message.
        wanted: What to try first.
        in_use: Bytes this process holds already; they are not free, and not needed again.
        shorten: Whether the chunks may be made shorter; those of a saved run may not.

    Raises:
        WillNotFit: Nothing does; with the figures and the longest chunk that would fit.
    """
    free = budget(memory, device)
    for size in wanted.sizes():
        # What the process holds is gone from what is free, so it counts on neither side.
        if need(model, job, device, size, in_use=in_use).total - in_use <= free:
            return size
    smallest = [*wanted.sizes()][-1]
    if job.force:
        return smallest if job.batch is None else dataclasses.replace(smallest, batch=job.batch)
    least = need(model, job, device, smallest, in_use=in_use)
    raise WillNotFit(
        f"`{name}` needs {_bytes(least.total - in_use)} with chunks of {job.chunk_length} tokens "
        f"and {_bytes(max(free, 0))} can be used: {_weights(least, device)}, "
        f"{_bytes(least.caches)} caches, {_bytes(least.attention)} attention, "
        f"{_bytes(least.kept + least.tile)} logits",
        _remedy(longest_chunk(model, job, device, free + in_use, in_use=in_use), device, shorten),
    )


def longest_chunk(
    model: ModelSizes, job: Job, device: Device, free: int, *, in_use: int = 0
) -> int | None:
    """Tokens of the longest chunk, up to the job's own, that fits at the smallest size.

    Args:
        model: Sizes of the model.
        job: The job.
        device: Where it is scored.
        free: Bytes that can be used, those in use included.
        in_use: Bytes this process holds already.

    Returns:
        The length, a multiple of 64 from 64 on; None where not even two tokens fit.
    """
    smallest = [*PassSize(1).sizes()][-1]
    low, high = 1, job.chunk_length
    while low < high:
        middle = (low + high + 1) // 2
        if need(model, job, device, smallest, length=middle, in_use=in_use).total <= free:
            low = middle
        else:
            high = middle - 1
    if low < 2:
        return None
    return low - low % 64 if low >= 64 else low


def _remedy(longest: int | None, device: Device, shorten: bool) -> str:
    if not shorten:
        return "free memory and resume again; --force tries all the same"
    if longest is not None and longest >= 64:
        return f"--chunk-length {longest} would fit; --force scores it as it is"
    closer = "a smaller model" if device == "cpu" else "a smaller model or fewer bits per weight"
    return f"no chunk is short enough: take {closer}, or free memory; --force tries all the same"


def _weights(least: Need, device: Device) -> str:
    return f"{_bytes(least.weights)} weights" + (" as float32" if device == "cpu" else "")


def _bytes(size: int) -> str:
    """Enough digits to tell what is needed from what there is."""
    return f"{size / (1 << 30):.2f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.0f} MiB"
