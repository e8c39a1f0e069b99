"""What a setting's positions come to, as values: sums, means, quantiles, spans, buckets.

:mod:`scorer.stats.summary` makes them. Pure standard library: reports are read without numpy.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KLSummary:
    """KL of all positions pooled, nats.

    Attributes:
        mean: Mean.
        median: Median.
        p99: 99th percentile.
        max: Largest value.
    """

    mean: float
    median: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class DepthSpan:
    """Positions ``start`` to ``end - 1``, counted from the first scored one, over all chunks.

    Attributes:
        start: First position of the span.
        end: Position after its last.
        kl_mean: Mean KL, nats; None for a span without positions.
        kl_p99: 99th percentile of KL, nats; None for a span without positions.
        n_positions: Number of positions.
    """

    start: int
    end: int
    kl_mean: float | None
    kl_p99: float | None
    n_positions: int


@dataclass(frozen=True, slots=True)
class ConfidenceBucket:
    """Positions whose reference top probability lies in ``[low, high)``; the last includes 1.

    Attributes:
        low: Lower edge, 0 to 1.
        high: Upper edge, 0 to 1.
        kl_mean: Mean KL, nats; None for an empty bucket.
        flip_rate: Share of flips, 0 to 1; None for an empty bucket.
        n_positions: Number of positions.
    """

    low: float
    high: float
    kl_mean: float | None
    flip_rate: float | None
    n_positions: int


@dataclass(frozen=True, slots=True)
class ChunkSums:
    """Sums over the positions of each chunk, in ascending order; the input of intervals.

    Attributes:
        chunks: Indices of the chunks.
        sizes: Number of positions of each.
        kl: Sum of KL, nats.
        flips: Number of flips.
        nll_difference: Sum of ``nll_quant − nll_ref``, nats.
        kl_squares: Sum of the squares of KL, nats².
    """

    chunks: tuple[int, ...]
    sizes: tuple[int, ...]
    kl: tuple[float, ...]
    flips: tuple[int, ...]
    nll_difference: tuple[float, ...]
    kl_squares: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """The numbers of one setting over all its positions.

    Attributes:
        n_positions: Number of positions.
        n_infinite: Number of positions whose KL is +inf.
        kl: Mean, median, p99 and max of KL, nats.
        kl_quantiles: The KL quantiles that llama.cpp prints, by name, nats.
        flip_rate: Share of positions whose top token changed, 0 to 1.
        perplexity_ref: exp of the mean NLL of the reference.
        perplexity_quant: exp of the mean NLL of the quantized model.
        perplexity_delta: ``perplexity_quant − perplexity_ref``.
        ln_perplexity_ratio: ``mean(nll_quant − nll_ref)``, nats.
        perplexity_ratio: ``exp(ln_perplexity_ratio)``.
        nll_correlation: Pearson correlation of the two NLLs; None if one is constant.
        delta_p: Statistics of ``q(target) − p(target)``: mean, rms and quantiles, percent.
        depth: KL by depth.
        confidence: KL and flips by the reference's confidence.
        per_chunk: Sums over each chunk.
    """

    n_positions: int
    n_infinite: int
    kl: KLSummary
    kl_quantiles: dict[str, float]
    flip_rate: float
    perplexity_ref: float
    perplexity_quant: float
    perplexity_delta: float
    ln_perplexity_ratio: float
    perplexity_ratio: float
    nll_correlation: float | None
    delta_p: dict[str, float]
    depth: tuple[DepthSpan, ...]
    confidence: tuple[ConfidenceBucket, ...]
    per_chunk: ChunkSums

    @property
    def n_chunks(self) -> int:
        """Number of chunks."""
        return len(self.per_chunk.chunks)
