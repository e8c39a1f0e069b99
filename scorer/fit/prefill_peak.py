"""The memory that a block of a prompt takes beyond the weights and the KV cache.

mlx-lm runs a prompt in blocks of a *prefill step* of tokens and evaluates the caches after each;
only then it quantizes them (``mlx_lm.generate.generate_step``). While a block runs, MLX holds what
the layers in flight have written: activations, the old buffers of caches that have grown, and
attention scores (heads × tokens of the block × tokens in the cache) wherever attention is not
fused. Fused attention exists for a 16-bit cache on Metal and CUDA, for common head dimensions.

How many layers are in flight differs. On the CPU MLX queues some hundred operations, about one
layer. On CUDA it dispatches graphs of a hundred operations and frees what a graph used when all of
it is done, while the host builds the next ones; our own cache, which mlx-lm's quantized attention
stands for elsewhere, waits for each layer there. The counts of arrays below are read from MLX 0.32
and mlx-lm 0.32; ``python -m scorer.bench.prefill`` compares them with measured peaks.

Estimated and not measured: everything on Metal, where one layer is counted although MLX works
ahead there too, so that a peak can be higher; latent caches (the keys and values that a layer
expands them to); models whose layers are not attention with a gated MLP.

Imports no mlx.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scorer.common.device_kind import DeviceKind
from scorer.fit.cache_bytes import CacheKind
from scorer.models.sizes import ModelSizes
from scorer.spec.geometry import KVLayer

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
# The CPU computes the norms of a 16-bit model in float32.
_WRITTEN_16BIT_CPU = _Arrays(hidden=16, queries=6, keys_values=2, inner=2)
# What is left of them while a block of queries is attended: the hidden state, the queries, the
# output by blocks and as a whole, keys and values. All else belongs to layers that are done.
_ATTENDING = _Arrays(hidden=1, queries=3, keys_values=3, inner=0)
# Copies of the scores of a block of queries: MLX writes mask and softmax over the product. Our own
# cache pads an even number of tokens on CUDA, which takes two copies more.
_OWN_COPIES = 3
# CUDA: operations of a layer with a 16-bit cache, of a graph that is dispatched as a whole, and the
# time that the host takes for one; operations of the GPU per second (H100, bfloat16; from prompt
# speeds and peaks of a 4B model published with MLX's pull request 3077).
_LAYER_OPS = 20
_GRAPH_OPS = 100
_HOST_SECONDS = 27e-6
_GPU_FLOPS = 220e12


@dataclass(frozen=True, slots=True)
class Moment:
    """What is held, above the weights, at one moment of a prompt.

    Attributes:
        buffers: Bytes of the buffers of all caches.
        largest: Bytes that the layer writes which writes the most.
        mean: Bytes that a layer writes on average.
        in_flight: Layers whose arrays are held at the same time.
    """

    buffers: float
    largest: float
    mean: float
    in_flight: float

    @property
    def total(self) -> int:
        """Bytes."""
        return int(self.buffers + self.largest + (self.in_flight - 1) * self.mean)


@dataclass(frozen=True, slots=True)
class _Block:
    """A block of a prompt: its tokens, those held at its end, whether it attends over codes."""

    rows: int
    tokens: int
    codes: bool


def prefill_peak(
    kinds: Sequence[CacheKind],
    quantized_from: int | None,
    shape: PrefillShape,
    context: int,
    step: int = DEFAULT_STEP,
    device: DeviceKind = "metal",
) -> int:
    """The largest memory, above the weights, while a prompt of one sequence is run.

    Args:
        kinds: The caches of the model, see :func:`scorer.fit.cache_bytes.cache_kinds`.
        quantized_from: Tokens held before the caches are quantized, mlx-lm's
            ``--quantized-kv-start``; None where they never are. On CUDA a quantized cache is this
            package's own class: mlx-lm's quantized attention does not run there.
        shape: Sizes of the model.
        context: Tokens of the prompt. All but the last run in blocks.
        step: Tokens of a block.
        device: The device of the deployment.

    Returns:
        Bytes, those of the caches included.
    """
    return prefill_moment(kinds, quantized_from, shape, context, step, device).total


def prefill_moment(
    kinds: Sequence[CacheKind],
    quantized_from: int | None,
    shape: PrefillShape,
    context: int,
    step: int = DEFAULT_STEP,
    device: DeviceKind = "metal",
) -> Moment:
    """The moment of :func:`prefill_peak`, with what is held then."""
    run = context - 1
    # The tokens held when the caches are quantized for the first time, by mlx-lm after a block.
    if quantized_from is None:
        plain = run
    elif quantized_from == 0 and device == "cuda":
        plain = 0
    else:
        plain = min(run, -(-max(1, quantized_from) // step) * step)
    own = quantized_from is not None and device == "cuda"
    found = [(_last_own if own else _last)(kinds, shape, context, device)]
    for block in _blocks(run, step, plain):
        buffers = _buffers(kinds, block, device)
        written = [_written(kind, block, shape, device) for kind in kinds]
        if written:
            layers = sum(kind.count for kind in kinds)
            mean = sum(w * k.count for w, k in zip(written, kinds, strict=True)) / layers
            flight = _in_flight(kinds, block, shape, device)
            found.append(Moment(buffers, max(written), mean, flight))
        if quantized_from is not None and block.tokens == plain:
            found.append(Moment(buffers + _stored(kinds, block), 0, 0, 1))
    return max(found, key=lambda moment: moment.total)


def _blocks(run: int, step: int, plain: int) -> Iterator[_Block]:
    """The blocks of ``run`` tokens that can be the largest: the first, the last full one, the last.

    The last that is unquantized as well, up to ``plain`` tokens: a block attends to its own tokens
    before they are quantized.
    """
    for end in sorted({min(step, run), run // step * step, run, plain} - {0}):
        yield _Block(end - (end - 1) // step * step, end, end > plain)


def _in_buffer(layer: KVLayer, tokens: int, rows: int) -> int:
    """Tokens for which the buffer of a cache has room."""
    if layer.window is not None:
        # A rotating cache keeps what the first token of the block may see, and the block.
        return min(tokens, layer.window - 1 + rows)
    return -(-tokens // CACHE_STEP) * CACHE_STEP


def _buffers(kinds: Sequence[CacheKind], block: _Block, device: DeviceKind) -> float:
    """Bytes of all caches at the end of a block."""
    exact = block.codes and device == "cuda"
    return sum(
        kind.count
        * (kind.stored if block.codes else kind.plain)
        * (block.tokens if exact else _in_buffer(kind.layer, block.tokens, block.rows))
        for kind in kinds
    )


def _written(kind: CacheKind, block: _Block, shape: PrefillShape, device: DeviceKind) -> float:
    """Bytes that one layer writes for a block."""
    layer, rows, size = kind.layer, block.rows, shape.element_bytes
    latent = layer.kind == "latent"
    head = _LATENT_HEAD if latent else layer.k_dim
    arrays = _WRITTEN_16BIT_CPU if device == "cpu" and size == 2 else _WRITTEN[device]

    def written(arrays: _Arrays) -> int:
        return (
            rows
            * size
            * (
                arrays.hidden * shape.hidden
                + arrays.queries * shape.heads * head
                + arrays.keys_values * layer.kv_heads * layer.k_dim
                + arrays.inner * shape.inner
            )
        )

    seen = block.tokens
    if layer.window is not None:
        seen = min(seen, layer.window - 1 + rows)
    # The old buffer, and the zeros behind it, until the new one is written.
    grown = (kind.stored if block.codes else kind.plain) * seen
    if block.codes and device == "cuda":
        # Padded like the scores, see _OWN_COPIES.
        grown *= 2
    expanded = 2 * shape.heads * _LATENT_HEAD * seen * size if latent else 0
    scores = _scores(layer, block, seen, shape, device)
    if block.codes and device == "cuda":
        # The first block of queries is computed together with the layer before, and sees the
        # fewest tokens; the last sees all of them.
        first = seen - rows + min(rows, _own_rows(shape.heads * seen * size))
        arrays_and_scores = max(
            written(arrays) + scores * first / seen, written(_ATTENDING) + scores
        )
        return arrays_and_scores + grown + expanded
    return written(arrays) + grown + expanded + scores


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
    kinds: Sequence[CacheKind], block: _Block, shape: PrefillShape, device: DeviceKind
) -> float:
    """Layers whose arrays MLX holds at the same time.

    On CUDA those of a graph, and of the next one as far as the host builds it meanwhile: all of it
    where the GPU takes longer than the host. Then the host runs ahead as well. Our own cache waits
    for the attention of each layer.
    """
    layers = sum(kind.count for kind in kinds)
    if device != "cuda" or not layers or block.codes:
        return 1
    graph = _GRAPH_OPS / _LAYER_OPS
    layer = kinds[0].layer
    weights = shape.hidden * (2 * shape.heads * layer.k_dim + 3 * shape.inner)
    attention = shape.heads * block.tokens * layer.k_dim
    host = _LAYER_OPS * _HOST_SECONDS
    gpu = 2 * block.rows * (weights + attention) / _GPU_FLOPS
    return min(layers, max(graph * (1 + min(1, gpu / host)), layers * (1 - host / gpu)))


def _last(
    kinds: Sequence[CacheKind], shape: PrefillShape, context: int, device: DeviceKind
) -> Moment:
    """The step that runs the last token: the caches may have grown, logits of one token."""
    buffers = sum(kind.count * kind.stored * _in_buffer(kind.layer, context, 1) for kind in kinds)
    grown = [kind.stored * (kind.layer.tokens(context) or 0) for kind in kinds]
    layers = sum(kind.count for kind in kinds)
    mean = sum(g * k.count for g, k in zip(grown, kinds, strict=True)) / max(1, layers)
    logits = 3 * shape.vocab * shape.element_bytes
    flight = min(layers, _GRAPH_OPS / _LAYER_OPS) if device == "cuda" else 1
    return Moment(buffers, max(grown, default=0) + logits, mean, max(1, flight))


def _last_own(
    kinds: Sequence[CacheKind], shape: PrefillShape, context: int, device: DeviceKind
) -> Moment:
    """The same with our own cache: the layer at work is copied whole, and padded."""
    held = [kind.stored * (kind.layer.tokens(context) or 0) for kind in kinds]
    total = sum(h * kind.count for h, kind in zip(held, kinds, strict=True))
    logits = 3 * shape.vocab * shape.element_bytes
    return Moment(total, 2 * max(held, default=0) + logits, 0, 1)


def _stored(kinds: Sequence[CacheKind], block: _Block) -> float:
    """Bytes of the caches once they are quantized, beside what they were made from."""
    return sum(
        kind.count * kind.stored * _in_buffer(kind.layer, block.tokens, block.rows)
        for kind in kinds
    )
