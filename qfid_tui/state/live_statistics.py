"""Statistics of a setting's chunks while they are being scored, as the report will make them.

Pure standard library, and constant work per chunk: a table paints from it ten times a second.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from scorer.spec.events import ChunkScored
from scorer.spec.thresholds import Metric
from scorer.stats.intervals import FEW_DOCUMENTS, ClusteredMean, Interval, with_width
from scorer.stats.proportions import proportion
from scorer.stats.settling import Outlook
from scorer.stats.verdict import Estimate

_ROUNDING = 1e-13


class ChunkMean:
    """Mean and clustered standard error of chunks' values that come one by one.

    They are those of :func:`scorer.stats.intervals.clustered_mean`: documents are the units where
    at least 5 are covered, else chunks. Of each unit with sum ``S`` and size ``n``, the sums of
    ``S * S``, ``S * n`` and ``n * n`` are kept, from which those of ``(S - mean * n) ** 2`` follow
    in constant time. A chunk's size is 1 where all have as many positions; where only some roles of
    a chat text count they differ.

    Attributes:
        n: Number of chunks.
        mean: Mean of their values.
    """

    __slots__ = (
        *("_by_chunk", "_crossed", "_size", "_sizes", "_squares", "_sums", "_uneven", "_units"),
        *("mean", "n"),
    )

    def __init__(self) -> None:
        self.n, self.mean, self._squares = 0, 0.0, 0.0
        self._size, self._uneven = 0.0, False
        self._units: dict[int | None, tuple[float, float]] = {}
        self._sums, self._crossed, self._sizes = 0.0, 0.0, 0.0
        self._by_chunk = 0.0, 0.0, 0.0

    def add(self, value: float, document: int | None, size: float = 1) -> None:
        """Take in a chunk.

        Args:
            value: Its mean.
            document: The document of its first token; None if unknown.
            size: Its positions by those of the first chunk.
        """
        self.n += 1
        self._size += size
        self._uneven |= size != 1
        step = value - self.mean
        self.mean += step * size / self._size
        # About the mean, which rounding hurts less; it holds for chunks of one size.
        self._squares += step * (value - self.mean)
        own = value * size
        squares, crossed, sizes = self._by_chunk
        self._by_chunk = squares + own * own, crossed + own * size, sizes + size * size
        before, total = self._units.get(document, (0.0, 0.0))
        now = total + own
        self._units[document] = before + size, now
        self._sums += now * now - total * total
        self._crossed += now * (before + size) - total * before
        self._sizes += size * (2 * before + size)

    @property
    def documents(self) -> int:
        """Number of known documents."""
        return len(self._units) - (None in self._units)

    @property
    def clustered(self) -> ClusteredMean | None:
        """The mean with its error; None for fewer than two chunks or an infinite value."""
        if self.n < 2 or not math.isfinite(self._squares):
            return None
        units, squares = self.n, self._squares
        sums = None
        if self.documents >= FEW_DOCUMENTS:
            units = len(self._units)
            sums = self._sums, self._crossed, self._sizes
        elif self._uneven:
            sums = self._by_chunk
        if sums is not None:
            mean = self.mean
            squares = sums[0] - 2 * mean * sums[1] + mean * mean * sums[2]
            # Equal values leave what rounding leaves, which may be below zero.
            squares = squares if squares > _ROUNDING * sums[0] else 0.0
        error = math.sqrt(squares * units / (units - 1)) / self._size
        return ClusteredMean(self.mean, error, units)


class LiveStatistics:
    """The metrics of a setting over the chunks scored so far; chunks of equal tokens count once.

    Attributes:
        positions: Number of scored positions.
        nll_ref: Sum of the reference's negative log-likelihoods, nats.
        nll_quant: Sum of the quantized model's, nats.
    """

    def __init__(self, documents: Mapping[int, int | None], repeats: Collection[int]) -> None:
        """Begin without a chunk.

        Args:
            documents: Chunk to the document of its first token, of planned chunks in scoring order.
            repeats: Chunks that repeat the tokens of another.
        """
        self._documents = documents
        self._repeats = repeats
        self._kl, self._flips, self._p99s = ChunkMean(), ChunkMean(), ChunkMean()
        self._squares = 0.0
        self._p99: float | None = None
        self._p99_positions = 0
        self.positions = 0
        self._first_positions = 0
        self.nll_ref = self.nll_quant = 0.0

    def add(self, event: ChunkScored) -> None:
        """Take in a chunk."""
        # The scorer counts the chunks of earlier processes in, whose events can come later.
        if event.kl_p99_so_far is not None and event.positions_so_far > self._p99_positions:
            self._p99, self._p99_positions = event.kl_p99_so_far, event.positions_so_far
        if event.chunk in self._repeats:
            return
        document = self._documents.get(event.chunk)
        self._first_positions = self._first_positions or event.positions
        size = event.positions / self._first_positions
        self._kl.add(event.kl_mean, document, size)
        self._flips.add(event.flips / event.positions, document, size)
        self._p99s.add(event.kl_p99, document)
        self._squares += math.inf if event.kl_squares is None else event.kl_squares
        self.positions += event.positions
        self.nll_ref += event.nll_ref
        self.nll_quant += event.nll_quant

    @property
    def chunks(self) -> int:
        """Number of chunks counted."""
        return self._kl.n

    @property
    def estimates(self) -> dict[Metric, Estimate]:
        """The metrics with their intervals.

        p99 is the report's. The report's interval of it is a bootstrap, which takes too long here:
        its width is taken from how much the chunks' own 99th percentiles vary.
        """
        kl, counted = self._kl.clustered, self._flips.clustered
        flips = proportion(counted, self.positions, kl, self._squares)
        p99 = self._p99s.mean if self._p99 is None else self._p99
        return {
            "kl_mean": Estimate(
                self._kl.mean, None if kl is None else with_width(kl.interval(lowest=0.0)), kl
            ),
            "kl_p99": Estimate(p99, self._p99_interval(p99)),
            "flip_rate": Estimate(
                self._flips.mean, None if flips is None else flips.interval(), flips
            ),
        }

    def _p99_interval(self, p99: float) -> Interval | None:
        spread = self._p99s.clustered
        if spread is None or not math.isfinite(p99):
            return None
        around = ClusteredMean(p99, spread.error, spread.units)
        return with_width(around.interval(lowest=0.0))

    @property
    def outlook(self) -> Outlook:
        """The chunks scored and planned."""
        planned = [d for chunk, d in self._documents.items() if chunk not in self._repeats]
        return Outlook(self._kl.n, self._kl.documents, planned)
