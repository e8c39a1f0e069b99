"""What is known of one setting of a comparison: chunks as they are scored, then the report's row.

Pure standard library, and constant work per chunk: a table paints from it ten times a second.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import add
from typing import TYPE_CHECKING

from qfid_tui.state.live_statistics import LiveStatistics
from scorer.common.errors import InputError
from scorer.spec.events import ChunkScored
from scorer.spec.settings.registry import parse_setting
from scorer.spec.thresholds import KV, Thresholds, Verdict
from scorer.stats.depth import depth_edges
from scorer.stats.intervals import Interval
from scorer.stats.verdict import Estimate, MissingInterval, judge, shown_verdict

if TYPE_CHECKING:
    from scorer.report.setting_row import SettingNumbers, SettingRow
    from scorer.spec.settings.base import Setting

Gapped = list[float | None]
"""A value per chunk; None where there is none yet."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The numbers of a setting that a table shows.

    Attributes:
        chunks: Chunks they rest on.
        kl_mean: Mean KL, nats.
        kl_interval: Its 95 % interval; None for fewer than two chunks.
        kl_p99: 99th percentile of KL, nats.
        flip_rate: Share of positions whose top token changed, 0 to 1.
        perplexity: Of the quantized model.
        perplexity_delta: Quantized minus reference.
        verdict: Tier by the point estimates.
        is_open: An interval crosses a bound that decides the verdict, or a metric has none.
        more_chunks: About how many more chunks would settle an open verdict; None where it is
            settled or no number of chunks would.
        held_by: What keeps it from the next better tier, as metric names.
        final: They come from the report of a run that is over.
        without_interval: Metrics without a usable interval, which leave the verdict open.
        below_noise_floor: Rounding alone could move a metric across a bound that decides.
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
    without_interval: tuple[MissingInterval, ...] = ()
    below_noise_floor: bool = False

    @property
    def shown_verdict(self) -> str:
        """``good``, or ``good?`` where an interval leaves it open."""
        return shown_verdict(self.verdict, self.is_open)


class SettingResult:
    """One setting's scored chunks.

    Attributes:
        name: The setting in notation.
        setting: The setting; None where this version cannot read it.
        chunks: Indices of the chunks, in the order scored.
        kl: Per chunk, its mean KL, nats.
        flips: Per chunk, its share of flips, 0 to 1.
        failure: Why it was given up, one line; None while it was not.
        dropped: Why it is scored no further than its chunks; "" where it is.
        row: Its row of the report, where that has numbers; None until a run is over.
        look: By metric, the ends of its intervals at the last look of a run that stops once it is
            settled, whose other intervals would be too narrow; None in any other run.
    """

    def __init__(
        self,
        name: str,
        documents: Mapping[int, int | None] | None = None,
        repeats: Collection[int] = (),
        places: Mapping[int, int] | None = None,
    ) -> None:
        """Begin without a chunk.

        Args:
            name: The setting in notation.
            documents: Chunk to the document of its first token; may be filled later, see
                :meth:`regroup`.
            repeats: Chunks that repeat the tokens of another; may be filled later too.
            places: Chunk to its place among the planned chunks in the order of the text, from 0;
                may be filled later, see :meth:`replan`.
        """
        self.name = name
        self.setting = _setting_of(name)
        self._thresholds = KV if self.setting is None else self.setting.thresholds
        self._documents = {} if documents is None else documents
        self._repeats = repeats
        self._places = {} if places is None else places
        self._in_text: tuple[Gapped, Gapped] | None = None
        self.chunks: list[int] = []
        self.kl: list[float] = []
        self.flips: list[float] = []
        self.failure: str | None = None
        self.dropped = ""
        self.row: SettingRow | None = None
        self.look: Mapping[str, Sequence[float]] | None = None
        self._seen: set[int] = set()
        self._events: list[ChunkScored] = []
        self._live = LiveStatistics(self._documents, self._repeats)
        self._depth: list[float] = []
        self._depth_positions = self._depth_chunks = 0
        self._figures: Figures | None = None

    def judge_by(self, thresholds: Thresholds) -> None:
        """Give verdicts by other bounds from now on; those of a report stay as they are."""
        if thresholds != self._thresholds:
            self._thresholds, self._figures = thresholds, None

    def add(self, event: ChunkScored) -> None:
        """Take in a chunk; one that is known already counts once."""
        if event.chunk in self._seen or event.positions <= 0:
            return
        self._seen.add(event.chunk)
        self._figures = None
        self.chunks.append(event.chunk)
        self.kl.append(event.kl_mean)
        self.flips.append(event.flips / event.positions)
        self._events.append(event)
        self._live.add(event)
        self._add_depth(event)
        if self._in_text is not None:
            self._put_in_text(self._in_text, len(self.chunks) - 1)

    @property
    def in_text(self) -> tuple[Gapped, Gapped]:
        """KL and flips of the planned chunks in the order of the text; None where not scored."""
        if self._in_text is None:
            count = len(self._places)
            self._in_text = [None] * count, [None] * count
            for index in range(len(self.chunks)):
                self._put_in_text(self._in_text, index)
        return self._in_text

    def _put_in_text(self, in_text: tuple[Gapped, Gapped], index: int) -> None:
        """Put a scored chunk in its place; one that is not planned has none."""
        place = self._places.get(self.chunks[index])
        if place is not None:
            kl, flips = in_text
            kl[place], flips[place] = self.kl[index], self.flips[index]

    def replan(self) -> None:
        """Take into account that other chunks are planned."""
        self._in_text = None

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

    def regroup(self) -> None:
        """Take into account which chunks have become known to share a document, or to be equal."""
        self._figures = None
        self._live = LiveStatistics(self._documents, self._repeats)
        for event in self._events:
            self._live.add(event)

    def take_look(self, ends: Mapping[str, Sequence[float]] | None) -> None:
        """Take the intervals of a look, see ``look``."""
        self.look, self._figures = ends, None

    def finish(self, row: SettingRow) -> None:
        """Take the setting's row of the report, whose numbers are final."""
        self._figures = None
        self.failure = None if row.failure is None else row.failure.message
        self.dropped = row.dropped
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
            elif self._live.chunks:
                self._figures = self._so_far()
        return self._figures

    @staticmethod
    def _at_look(value: float, ends: Sequence[float] | None) -> Estimate:
        """A metric with the interval of the last look, if it has one."""
        if ends is None:
            return Estimate(value, None, lack="no look")
        low, high = ends
        return Estimate(value, Interval(low, high))

    def _so_far(self) -> Figures:
        live = self._live
        estimates = live.estimates
        if self.look is not None:
            estimates = {
                m: self._at_look(one.value, self.look.get(m)) for m, one in estimates.items()
            }
        values = {metric: estimate.value for metric, estimate in estimates.items()}
        judged = judge(estimates, live.positions, live.outlook, self._thresholds)
        reference = _exp(live.nll_ref / live.positions)
        quantized = _exp(live.nll_quant / live.positions)
        return Figures(
            chunks=live.chunks,
            kl_mean=values["kl_mean"],
            kl_interval=estimates["kl_mean"].interval,
            kl_p99=values["kl_p99"],
            flip_rate=values["flip_rate"],
            perplexity=quantized,
            perplexity_delta=quantized - reference,
            verdict=judged.verdict,
            is_open=judged.is_open,
            more_chunks=judged.more_chunks,
            held_by=tuple(bound.metric for bound in judged.held_by),
            final=False,
            without_interval=judged.without_interval,
            below_noise_floor=any(bound.below_noise_floor for bound in judged.open_bounds),
        )


def _setting_of(name: str) -> Setting | None:
    try:
        return parse_setting(name)
    except InputError:
        return None


def depth_of(numbers: SettingNumbers) -> list[tuple[int, int, float]]:
    """Spans of positions, the first and the one after the last, and their KL mean, nats."""
    return [
        (span.start, span.end, span.kl_mean)
        for span in numbers.kl_by_depth
        if span.kl_mean is not None
    ]


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
        is_open=numbers.is_open,
        more_chunks=numbers.more_chunks,
        held_by=tuple(bound.metric for bound in numbers.verdict_held_by),
        final=True,
        without_interval=numbers.verdict_without_interval,
        below_noise_floor=any(bound.below_noise_floor for bound in numbers.verdict_open),
    )


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
