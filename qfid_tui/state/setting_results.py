"""What is known of one setting of a comparison: chunks as they are scored, then the report's row.

Pure standard library, and constant work per chunk: a table paints from it ten times a second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import add
from typing import TYPE_CHECKING

from scorer.common.errors import InputError
from scorer.spec.events import ChunkScored
from scorer.spec.settings.registry import parse_setting
from scorer.spec.thresholds import KV, Metric, Thresholds, Verdict
from scorer.stats.depth import depth_edges
from scorer.stats.intervals import CONFIDENCE, FEW_DOCUMENTS, Interval
from scorer.stats.student_t import t_quantile
from scorer.stats.verdict import OpenBound, held_by, open_bounds, shown_verdict, verdict_of

if TYPE_CHECKING:
    from scorer.report.setting_row import SettingRow


@dataclass(frozen=True, slots=True)
class Figures:
    """The numbers of a setting that a table shows.

    Attributes:
        chunks: Chunks they rest on.
        kl_mean: Mean KL, nats.
        kl_interval: Its 95 % interval; None for fewer than two chunks.
        kl_p99: 99th percentile of KL, nats; while a run goes on, the mean of the chunks' own.
        flip_rate: Share of positions whose top token changed, 0 to 1.
        perplexity: Of the quantized model.
        perplexity_delta: Quantized minus reference.
        verdict: Tier by the point estimates.
        is_open: An interval crosses a bound that decides the verdict.
        more_chunks: About how many more chunks would settle an open verdict; None where it is
            settled or no number of chunks would.
        held_by: What keeps it from the next better tier, as metric names.
        final: They come from the report of a run that is over.
    """

    chunks: int
    kl_mean: float
    kl_interval: Interval | None
    kl_p99: float
    flip_rate: float
    perplexity: float
    perplexity_delta: float
    verdict: Verdict
    is_open: bool
    more_chunks: int | None
    held_by: tuple[str, ...]
    final: bool

    @property
    def shown_verdict(self) -> str:
        """``good``, or ``good?`` where an interval leaves it open."""
        return shown_verdict(self.verdict, self.is_open)


class _Spread:
    """Mean and 95 % interval of chunks' values that come one by one.

    The interval is that of :func:`scorer.stats.intervals.mean_interval` over chunks of one length:
    documents are the units where at least 5 are covered, else chunks. Of each unit with sum ``S``
    and ``n`` chunks, the sums of ``S * S``, ``S * n`` and ``n * n`` are kept, from which those of
    ``(S - mean * n) ** 2`` follow in constant time.
    """

    __slots__ = ("_crossed", "_sizes", "_sums", "_units", "mean", "n", "squares")

    def __init__(self) -> None:
        self.n, self.mean, self.squares = 0, 0.0, 0.0
        self._units: dict[int | None, tuple[int, float]] = {}
        self._sums, self._crossed, self._sizes = 0.0, 0.0, 0

    def add(self, value: float, document: int | None) -> None:
        self.n += 1
        step = value - self.mean
        self.mean += step / self.n
        self.squares += step * (value - self.mean)
        size, total = self._units.get(document, (0, 0.0))
        now = total + value
        self._units[document] = size + 1, now
        self._sums += now * now - total * total
        self._crossed += now * (size + 1) - total * size
        self._sizes += 2 * size + 1

    @property
    def interval(self) -> Interval | None:
        if self.n < 2 or not math.isfinite(self.squares):
            return None
        units, squares = self.n, self.squares
        if len(self._units.keys() - {None}) >= FEW_DOCUMENTS:
            mean = self.mean
            units = len(self._units)
            squares = self._sums - 2 * mean * self._crossed + mean * mean * self._sizes
        # Equal values leave what rounding leaves, which may be below zero.
        error = math.sqrt(max(0.0, squares) * units / (units - 1)) / self.n
        half = t_quantile((1 + CONFIDENCE) / 2, units - 1) * error
        return Interval(self.mean - half, self.mean + half)


class SettingResult:
    """One setting's scored chunks.

    Attributes:
        name: The setting in notation.
        chunks: Indices of the chunks, in the order scored.
        kl: Per chunk, its mean KL, nats.
        flips: Per chunk, its share of flips, 0 to 1.
        failure: Why it was given up, one line; None while it was not.
        row: Its row of the report, where that has numbers; None until a run is over.
    """

    def __init__(self, name: str, documents: Mapping[int, int | None] | None = None) -> None:
        """Begin without a chunk.

        Args:
            name: The setting in notation.
            documents: Chunk to the document of its first token; may be filled later, see
                :meth:`regroup`.
        """
        self.name = name
        self._thresholds = _thresholds_of(name)
        self._documents = {} if documents is None else documents
        self.chunks: list[int] = []
        self.kl: list[float] = []
        self.flips: list[float] = []
        self.failure: str | None = None
        self.row: SettingRow | None = None
        self._seen: set[int] = set()
        self._kl, self._flips, self._p99 = _Spread(), _Spread(), _Spread()
        self._p99s: list[float] = []
        self._nll_ref = self._nll_quant = 0.0
        self._positions = 0
        self._depth: list[float] = []
        self._depth_positions = self._depth_chunks = 0
        self._figures: Figures | None = None

    def add(self, event: ChunkScored) -> None:
        """Take in a chunk; one that is known already counts once."""
        if event.chunk in self._seen or event.positions <= 0:
            return
        self._seen.add(event.chunk)
        self._figures = None
        self.chunks.append(event.chunk)
        rate = event.flips / event.positions
        self.kl.append(event.kl_mean)
        self.flips.append(rate)
        self._p99s.append(event.kl_p99)
        self._spread(event.chunk, event.kl_mean, rate, event.kl_p99)
        self._nll_ref += event.nll_ref
        self._nll_quant += event.nll_quant
        self._positions += event.positions
        self._add_depth(event)

    def _add_depth(self, event: ChunkScored) -> None:
        sums = event.kl_by_depth
        if sums and not self._depth:
            self._depth, self._depth_positions = [0.0] * len(sums), event.positions
        # Chunks of a run are all of one length; one that is not has no spans in common.
        if sums and (event.positions, len(sums)) == (self._depth_positions, len(self._depth)):
            self._depth = list(map(add, self._depth, sums))
            self._depth_chunks += 1

    @property
    def depth(self) -> list[tuple[int, int, float]]:
        """Spans of positions, the first and the one after the last, and their KL mean so far."""
        edges = depth_edges(self._depth_positions)
        if len(edges) != len(self._depth) + 1:
            return []
        return [
            (start, end, total / ((end - start) * self._depth_chunks))
            for (start, end), total in zip(pairwise(edges), self._depth, strict=True)
        ]

    def _spread(self, chunk: int, kl: float, flips: float, p99: float) -> None:
        document = self._documents.get(chunk)
        self._kl.add(kl, document)
        self._flips.add(flips, document)
        self._p99.add(p99, document)

    def regroup(self) -> None:
        """Take the documents into account that have become known."""
        self._figures = None
        self._kl, self._flips, self._p99 = _Spread(), _Spread(), _Spread()
        for values in zip(self.chunks, self.kl, self.flips, self._p99s, strict=True):
            self._spread(*values)

    def finish(self, row: SettingRow) -> None:
        """Take the setting's row of the report, whose numbers are final."""
        self._figures = None
        self.failure = None if row.failure is None else row.failure.message
        self.row = None if row.numbers is None else row

    def reopen(self) -> None:
        """Forget the report's row and a failure: the run goes on."""
        self.row = self.failure = self._figures = None

    @property
    def figures(self) -> Figures | None:
        """The numbers so far; None before the first chunk."""
        if self._figures is None:
            if self.row is not None:
                self._figures = figures_of(self.row)
            elif self._kl.n:
                self._figures = self._live()
        return self._figures

    def _live(self) -> Figures:
        values: dict[Metric, float] = {
            "kl_mean": self._kl.mean,
            "kl_p99": self._p99.mean,
            "flip_rate": self._flips.mean,
        }
        intervals: dict[Metric, Interval | None] = {
            "kl_mean": self._kl.interval,
            "kl_p99": self._p99.interval,
            "flip_rate": self._flips.interval,
        }
        bounds = open_bounds(values, intervals, self._kl.n, self._thresholds)
        reference = _exp(self._nll_ref / self._positions)
        quantized = _exp(self._nll_quant / self._positions)
        return Figures(
            chunks=self._kl.n,
            kl_mean=values["kl_mean"],
            kl_interval=intervals["kl_mean"],
            kl_p99=values["kl_p99"],
            flip_rate=values["flip_rate"],
            perplexity=quantized,
            perplexity_delta=quantized - reference,
            verdict=verdict_of(**values, thresholds=self._thresholds),
            # One chunk has no interval, which settles nothing.
            is_open=bool(bounds) or self._kl.n == 1,
            more_chunks=_more(bounds),
            held_by=tuple(bound.metric for bound in held_by(values, self._thresholds)),
            final=False,
        )


def _thresholds_of(name: str) -> Thresholds:
    """The thresholds of a setting; those of the KV cache where this version cannot read it."""
    try:
        return parse_setting(name).thresholds
    except InputError:
        return KV


def figures_of(row: SettingRow) -> Figures | None:
    """The numbers in a setting's row of a report; None where it holds none."""
    numbers = row.numbers
    if numbers is None:
        return None
    return Figures(
        chunks=row.n_chunks,
        kl_mean=numbers.kl.mean,
        kl_interval=numbers.intervals.kl_mean,
        kl_p99=numbers.kl.p99,
        flip_rate=numbers.flip_rate,
        perplexity=numbers.perplexity_quant,
        perplexity_delta=numbers.perplexity_delta,
        verdict=numbers.verdict,
        is_open=bool(numbers.verdict_open),
        more_chunks=_more(numbers.verdict_open),
        held_by=tuple(bound.metric for bound in numbers.verdict_held_by),
        final=True,
    )


def _more(bounds: Sequence[OpenBound]) -> int | None:
    """Chunks after which every open bound would be settled."""
    more = [bound.more_chunks for bound in bounds]
    known = [chunks for chunks in more if chunks is not None]
    return max(known) if known and len(known) == len(more) else None


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
