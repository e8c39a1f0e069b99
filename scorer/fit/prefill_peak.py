"""The memory that a block of a prompt takes beyond the weights and the KV cache.

mlx-lm runs a prompt in blocks of a *prefill step* of tokens and evaluates the caches after each;
only then it quantizes them (``mlx_lm.generate.generate_step``). While a block runs, MLX holds what
the layers in flight have written: activations, the old buffers of caches that have grown, and
attention scores (heads × tokens of the block × tokens in the cache) wherever attention is not
fused. Fused attention exists for a 16-bit cache on Metal and CUDA, for common head dimensions.

How many layers are in flight differs. On the CPU MLX queues some hundred operations, about one
layer. On CUDA it queues graphs of a hundred operations without waiting for the GPU. The counts of
arrays below are read from MLX 0.32 and mlx-lm 0.32 and compared with measured peaks
(``python -m scorer.bench.prefill``).

Estimated and not measured: everything on Metal, latent caches (the keys and values that a layer
expands them to), and models whose layers are not attention with a gated MLP.

Imports no mlx.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from scorer.common.device_kind import DeviceKind
from scorer.fit.cache_bytes import element_sizes
from scorer.models.sizes import ModelSizes
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.settings.kv import KVSetting

DEFAULT_STEP = 2048
"""The prefill step of mlx-lm."""

CACHE_STEP = 256
"""Tokens by which the buffers of mlx-lm's caches grow."""

OWN_BLOCK_BYTES = 64 << 20
"""Bytes of scores above which this package's own cache attends in blocks of queries."""
# Blocks are a multiple of this many queries.
_OWN_BLOCK_ROWS = 64
# Head dimensions of Metal's fused attention for a block of more than 8 tokens.
_METAL_FUSED = (64, 72, 80, 96, 128)
# Largest head dimension of cuDNN's, which also needs 16 bit and a multiple of 8.
_CUDA_FUSED = 128
# A head of the keys that a layer makes of a latent cache, elements.
_LATENT_HEAD = 128


@dataclass(frozen=True, slots=True)
class PrefillShape:
    """The sizes of a model that its activations depend on.

    Attributes:
        hidden: Elements of a hidden state.
        inner: Elements of the widest intermediate state of a token, experts at work together.
        heads: Query heads.
        vocab: Columns of the logits.
        element_bytes: Bytes of an element of activations and of a cache that is not quantized,
            in the deployment: 2, or 4 where the model computes in float32.
    """

    hidden: int
    inner: int
    heads: int
    vocab: int
    element_bytes: int = 2

    @classmethod
    def of(cls, sizes: ModelSizes, element_bytes: int = 2) -> PrefillShape:
        """The shape of a model whose files were measured."""
        return cls(sizes.hidden, sizes.inner, sizes.heads, sizes.vocab, element_bytes)


@dataclass(frozen=True, slots=True)
class _Arrays:
    """How many arrays of each width a layer writes for a block, those written over not counted."""

    hidden: int
    queries: int
    keys_values: int
    inner: int


# Norms, projections, rotary embedding, attention and MLP. The CPU computes norms and the rotary
# embedding from simple operations, which write more.
_WRITTEN: dict[DeviceKind, _Arrays] = {
    "cpu": _Arrays(hidden=7, queries=6, keys_values=2, inner=2),
    "metal": _Arrays(hidden=4, queries=3, keys_values=3, inner=2),
    "cuda": _Arrays(hidden=4, queries=3, keys_values=3, inner=2),
}
# Copies of the scores of a block of queries: MLX writes mask and softmax over the product. Our own
# cache pads an even number of tokens on CUDA, which takes two copies more.
_OWN_COPIES = 3
# CUDA: operations of a layer, of a graph that is dispatched as a whole, and the time that the host
# takes for one; operations of the GPU per second (H100, bfloat16, published prompt speeds).
_LAYER_OPS = 20
_GRAPH_OPS = 100
_HOST_SECONDS = 30e-6
_GPU_FLOPS = 220e12


@dataclass(frozen=True, slots=True)
class _Kind:
    """Caches of one shape: how many, their shape, bytes of a token unquantized and as stored."""

    count: int
    layer: KVLayer
    full: float
    stored: float


@dataclass(frozen=True, slots=True)
class _Block:
    """A block of a prompt: its tokens, those held at its end, whether it attends over codes."""

    rows: int
    tokens: int
    codes: bool


@lru_cache(maxsize=1024)
def _kinds(geometry: KVGeometry, kv: KVSetting | None, element_bytes: int) -> tuple[_Kind, ...]:
    full = element_sizes(geometry, None, element_bytes)
    stored = element_sizes(geometry, kv, element_bytes)
    counted = Counter(zip(geometry.layers, full, stored, strict=True))
    return tuple(
        _Kind(count, layer, _per_token(layer, *plain), _per_token(layer, *held))
        for (layer, plain, held), count in counted.items()
    )


def _per_token(layer: KVLayer, keys: float, values: float) -> float:
    return layer.kv_heads * (layer.k_dim * keys + layer.v_dim * values)


@lru_cache(maxsize=8192)
def prefill_peak(
    geometry: KVGeometry,
    kv: KVSetting | None,
    shape: PrefillShape,
    context: int,
    step: int = DEFAULT_STEP,
    device: DeviceKind = "metal",
) -> int:
    """The largest memory, above the weights, while a prompt of one sequence is run.

    Args:
        geometry: The caches of the model.
        kv: How they are stored; None for 16 bit. On CUDA a quantized cache is this package's own
            class: mlx-lm's quantized attention does not run there.
        shape: Sizes of the model.
        context: Tokens of the prompt. All but the last run in blocks.
        step: Tokens of a block.
        device: The device of the deployment.

    Returns:
        Bytes, those of the caches included.
    """
    kinds = _kinds(geometry, kv, shape.element_bytes)
    found = [0.0]
    for block in _blocks(kv, context, step):
        held = _buffers(kinds, block, device)
        layers = sorted((_written(kind, block, shape, device) for kind in kinds), reverse=True)
        mean = sum(_written(k, block, shape, device) * k.count for k in kinds) / max(
            1, sum(kind.count for kind in kinds)
        )
        flight = _in_flight(kinds, block, shape, device)
        found.append(held + (layers[0] if layers else 0) + (flight - 1) * mean)
    return int(max(*found, _last(kinds, shape, context), _converting(kinds, kv, context, step)))


def _blocks(kv: KVSetting | None, context: int, step: int) -> Iterator[_Block]:
    """The blocks that can be the largest: the first, the last full one, the last.

    The last at full precision as well: a block attends to its tokens before they are quantized.
    """
    run = context - 1
    ends = {min(step, run), run // step * step, run}
    plain_until = _first_converted(kv, run, step)
    for end in sorted({*ends, plain_until} - {0}):
        yield _Block(end - (end - 1) // step * step, end, kv is not None and end > plain_until)


def _first_converted(kv: KVSetting | None, run: int, step: int) -> int:
    """The tokens held when mlx-lm quantizes the caches for the first time."""
    start = run if kv is None else max(1, kv.start)
    return min(run, -(-start // step) * step)


def _in_buffer(layer: KVLayer, tokens: int, rows: int) -> int:
    """Tokens for which the buffer of a cache has room."""
    if layer.window is not None:
        # A rotating cache keeps what the first token of the block may see, and the block.
        return min(tokens, layer.window - 1 + rows)
    return -(-tokens // CACHE_STEP) * CACHE_STEP


def _buffers(kinds: tuple[_Kind, ...], block: _Block, device: DeviceKind) -> float:
    """Bytes of all caches at the end of a block."""
    exact = block.codes and device == "cuda"
    return sum(
        kind.count
        * (kind.stored if block.codes else kind.full)
        * (block.tokens if exact else _in_buffer(kind.layer, block.tokens, block.rows))
        for kind in kinds
    )


def _written(kind: _Kind, block: _Block, shape: PrefillShape, device: DeviceKind) -> float:
    """Bytes that one layer writes for a block."""
    layer, rows, size = kind.layer, block.rows, shape.element_bytes
    latent = layer.kind == "latent"
    head = _LATENT_HEAD if latent else layer.k_dim
    arrays = _WRITTEN[device]
    width = (
        arrays.hidden * shape.hidden
        + arrays.queries * shape.heads * head
        + arrays.keys_values * layer.kv_heads * layer.k_dim
        + arrays.inner * shape.inner
    )
    seen = block.tokens
    if layer.window is not None:
        seen = min(seen, layer.window - 1 + rows)
    # The old buffer, and the zeros behind it, until the new one is written.
    grown = (kind.stored if block.codes else kind.full) * seen
    expanded = 2 * shape.heads * _LATENT_HEAD * seen * size if latent else 0
    return rows * width * size + grown + expanded + _scores(layer, block, seen, shape, device)


def _scores(
    layer: KVLayer, block: _Block, seen: int, shape: PrefillShape, device: DeviceKind
) -> float:
    """Bytes of attention scores and masks of one layer."""
    rows, size = block.rows, shape.element_bytes
    mask = rows * seen
    if not block.codes and is_fused(layer, size, device):
        # A causal mask without a window is a flag of the kernel.
        return 0 if layer.window is None else mask * (1 + (size if device == "cuda" else 0))
    if block.codes and device == "cuda":
        row = shape.heads * seen * size
        rows = min(rows, _own_rows(row))
        return rows * row * _OWN_COPIES + rows * seen
    # Rotary and other scores of a latent cache are added as a mask of the same size.
    return rows * seen * shape.heads * size * (2 if layer.kind == "latent" else 1) + mask


def _own_rows(row_bytes: int) -> int:
    """Queries of a block in which our own cache attends."""
    return max(_OWN_BLOCK_ROWS, OWN_BLOCK_BYTES // row_bytes // _OWN_BLOCK_ROWS * _OWN_BLOCK_ROWS)


def is_fused(layer: KVLayer, element_bytes: int, device: DeviceKind) -> bool:
    """Whether MLX attends to an unquantized cache without writing the scores of a block out.

    Source: ``ScaledDotProductAttention::use_fallback`` of MLX 0.32.
    """
    if device == "cpu" or layer.kind in ("latent", "index"):
        return False
    dims = layer.k_dim, layer.v_dim
    if device == "metal":
        return dims[0] == dims[1] and dims[0] in _METAL_FUSED
    return element_bytes == 2 and all(d % 8 == 0 and d <= _CUDA_FUSED for d in dims)


def _in_flight(
    kinds: tuple[_Kind, ...], block: _Block, shape: PrefillShape, device: DeviceKind
) -> float:
    """Layers whose arrays MLX holds at the same time."""
    layers = sum(kind.count for kind in kinds)
    if device != "cuda" or not layers:
        return 1
    if block.codes:
        row = max(shape.heads * block.tokens * shape.element_bytes, 1)
        if block.rows > _own_rows(row):
            # Every block of queries is waited for.
            return 1
    graph = _GRAPH_OPS / _LAYER_OPS
    layer = kinds[0].layer
    weights = shape.hidden * (2 * shape.heads * layer.k_dim + 3 * shape.inner)
    attention = shape.heads * block.tokens * layer.k_dim
    gpu = 2 * block.rows * (weights + attention) / _GPU_FLOPS
    behind = layers * max(0.0, 1 - _LAYER_OPS * _HOST_SECONDS / gpu)
    return min(layers, graph + behind)


def _last(kinds: tuple[_Kind, ...], shape: PrefillShape, context: int) -> float:
    """Bytes of the step that runs the last token: the caches have grown, logits of one token."""
    buffers = sum(
        kind.count * kind.stored * min(_in_buffer(kind.layer, context, 1), context + CACHE_STEP)
        for kind in kinds
    )
    grown = max((kind.stored * (kind.layer.tokens(context) or 0) for kind in kinds), default=0)
    return buffers + grown + 3 * shape.vocab * shape.element_bytes


def _converting(kinds: tuple[_Kind, ...], kv: KVSetting | None, context: int, step: int) -> float:
    """Bytes while the caches are quantized for the first time: both forms of all of them."""
    if kv is None or context < 2:
        return 0
    tokens = _first_converted(kv, context - 1, step)
    rows = tokens - (tokens - 1) // step * step
    return sum(
        kind.count * (kind.full + kind.stored) * _in_buffer(kind.layer, tokens, rows)
        for kind in kinds
    )
