"""Everything the detail screen shows of one setting of a saved run, read in one go.

Imports numpy: load it in a thread, when the screen is opened.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qfid_tui.pictures.scale import decades, power_of_ten
from qfid_tui.pictures.token_glyphs import inert_text
from qfid_tui.state.run_tokens import spelling_of
from scorer.common.errors import InputError
from scorer.models.measuring import never
from scorer.report.saved_report import saved_report
from scorer.report.setting_row import SettingRow
from scorer.report.tree import Report
from scorer.runs.listing import find_run
from scorer.runs.run import Run
from scorer.runs.stored_chunks import StoredChunks
from scorer.stats.intervals import Interval
from scorer.stats.positions import FloatArray, Positions

TAIL = 200
"""Positions of the largest KL that are read out."""
STEPS_PER_DECADE = 4
_TOKENS_BEFORE, _TOKENS_AFTER = 16, 6


@dataclass(frozen=True, slots=True)
class WantedToken:
    """What a model wanted to say next.

    Attributes:
        text: The token, inert; its id where the vocabulary cannot be read.
        probability: What the model gave it, 0 to 1.
    """

    text: str
    probability: float


@dataclass(frozen=True, slots=True)
class TailPosition:
    """One of the positions with the largest KL.

    Attributes:
        kl: KL, nats; may be +inf.
        chunk: Index of the chunk in the text.
        position: Position in the chunk.
        before: Text that led to it, inert.
        token: The token of the text that was predicted here, inert.
        after: Text that follows, inert.
        reference: What the reference wanted.
        quantized: What the quantized model wanted.
        flipped: Whether the two are different tokens.
    """

    kl: float
    chunk: int
    position: int
    before: str
    token: str
    after: str
    reference: WantedToken
    quantized: WantedToken
    flipped: bool


@dataclass(frozen=True, slots=True)
class KLHistogram:
    """Positions by KL.

    Attributes:
        edges: Of the steps, ``STEPS_PER_DECADE`` to a decade, from one whole decade to another.
        counts: Positions in each step; a step holds its lower edge.
        nonpositive: Positions whose KL is zero or, from rounding, below.
        infinite: Positions whose KL is +inf.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    nonpositive: int
    infinite: int

    @property
    def positions(self) -> int:
        """All positions."""
        return sum(self.counts) + self.nonpositive + self.infinite


@dataclass(frozen=True, slots=True)
class PairedMeans:
    """KL mean of one setting minus that of another on the same chunks.

    Attributes:
        difference: Nats; None where it is undefined.
        interval: Its interval, nats; None where there is none.
        told_apart: Whether the two are told apart; None where there is no interval.
    """

    difference: float | None
    interval: Interval | None
    told_apart: bool | None


@dataclass(frozen=True, slots=True)
class SettingDetail:
    """A setting of a saved run.

    Attributes:
        run: Id of the run.
        model: The model as the report names it.
        corpus: Name of the text.
        setting: The setting.
        row: Its row of the report: headline numbers, intervals, verdict or failure.
        ranked_on: Chunks of the frontier that it is ranked on; 0 where that is not known.
        chunks: Index of each of its chunks and its KL mean, nats.
        spans: First position, position after the last and KL mean of each span, nats; positions
            counted from the chunk's first.
        histogram: Of all its positions.
        tail: Positions of the largest KL, the largest first.
        notice: What the reader should know, in one line; mostly "".
        pairs: Each setting that it was compared with, and its KL mean minus that one's.
        roles: The roles of a chat text whose tokens count, with commas between; "" for all tokens.
    """

    run: str
    model: str
    corpus: str
    setting: str
    row: SettingRow
    ranked_on: int
    chunks: tuple[tuple[int, float], ...]
    spans: tuple[tuple[int, int, float], ...]
    histogram: KLHistogram
    tail: tuple[TailPosition, ...]
    notice: str
    pairs: Mapping[str, PairedMeans] = field(default_factory=dict)
    roles: str = ""


def read_setting_detail(run: str, setting: str, stop: Callable[[], bool] = never) -> SettingDetail:
    """Read a setting of a saved run; takes up to seconds, so call it in a thread.

    Args:
        run: Id of the run.
        setting: The setting in notation.
        stop: As of :func:`~qfid_tui.state.run_tokens.spelling_of`.

    Raises:
        InputError: There is no such run, or it has no such setting.
        QfidError: Nothing is scored yet, or a file is damaged.
    """
    found = find_run(run)
    report = saved_report(found)
    row = next((row for row in report.settings if row.setting == setting), None)
    if row is None:
        names = ", ".join(f"`{row.setting}`" for row in report.settings)
        raise InputError(f"run `{found.id}` has no setting `{setting}`", f"it has {names}")
    numbers, chunks = row.numbers, report.chunks_of(row)
    stored = None if numbers is None else _stored(found, setting, chunks)
    kl = np.zeros(0) if stored is None else _all_kl(stored)
    tail, notice = ((), "") if stored is None else _tail(found, stored, kl, stop)
    first = max(report.run.scored_from, row.quantize_start)
    means = () if numbers is None else numbers.kl_mean_per_chunk
    return SettingDetail(
        run=found.id,
        model=row.model_id,
        corpus=row.corpus.name,
        roles=",".join(report.run.job.roles),
        setting=setting,
        row=row,
        ranked_on=next(
            (
                frontier.n_chunks
                for frontier in report.frontiers
                if (frontier.quantize_start, frontier.path) == (row.quantize_start, row.path)
            ),
            0,
        ),
        chunks=tuple(zip(chunks, means, strict=False)),
        spans=tuple(
            (first + span.start, first + span.end, _or_nan(span.kl_mean))
            for span in (() if numbers is None else numbers.kl_by_depth)
        ),
        histogram=kl_histogram(kl),
        tail=tail,
        notice=notice,
        pairs=dict(_paired(report, setting)),
    )


def _paired(report: Report, setting: str) -> Iterator[tuple[str, PairedMeans]]:
    for pair in report.comparisons:
        mean, ends = pair.kl_mean_difference, pair.interval
        if pair.a == setting:
            yield pair.b, PairedMeans(mean, ends, pair.told_apart)
        elif pair.b == setting:
            mean = None if mean is None else -mean
            ends = None if ends is None else Interval(-ends.high, -ends.low)
            yield pair.a, PairedMeans(mean, ends, pair.told_apart)


def kl_histogram(kl: FloatArray) -> KLHistogram:
    """Count positions in equal steps of the logarithm over the decades present.

    Args:
        kl: (N,) KL, nats; never NaN.
    """
    finite = kl[(kl > 0) & np.isfinite(kl)]
    found = decades([float(finite.min()), float(finite.max())]) if len(finite) else None
    apart = int((kl <= 0).sum()), int(np.isposinf(kl).sum())
    if found is None:
        return KLHistogram((), (), *apart)
    low, high = found
    edges = [
        power_of_ten(decade) * 10 ** (step / STEPS_PER_DECADE)
        for decade in range(low, high)
        for step in range(STEPS_PER_DECADE)
    ]
    steps = np.searchsorted(edges, finite, side="right") - 1
    # The largest may lie on the upper end of the last decade, which no step begins.
    counts = np.bincount(np.clip(steps, 0, len(edges) - 1), minlength=len(edges))
    return KLHistogram((*edges, power_of_ten(high)), tuple(counts.tolist()), *apart)


def _stored(run: Run, setting: str, chunks: Sequence[int]) -> StoredChunks:
    """What is stored of a setting on the chunks that its numbers rest on."""
    stored = run.read().get(run.stored_as(setting))
    found = None if stored is None else stored.only(set(chunks))
    if not found:
        raise InputError(
            f"run `{run.id}` no longer holds the positions of setting `{setting}`",
            f"score them again with `qfid resume {run.id}`",
        )
    return found


def _all_kl(stored: StoredChunks) -> FloatArray:
    """(N,) KL of all positions in order, nats: the only column that is kept of all of them."""
    kl = np.empty(sum(stored.sizes))
    at = 0
    for positions in stored.positions():
        kl[at : at + len(positions)] = positions.kl
        at += len(positions)
    return kl


def _largest(kl: FloatArray) -> NDArray[np.intp]:
    """Rows of the ``TAIL`` largest KL, the largest first, the earlier first of equals."""
    rows = np.arange(len(kl))
    if len(kl) > TAIL:
        rows = np.flatnonzero(kl >= np.partition(kl, -TAIL)[-TAIL])
    return rows[np.argsort(-kl[rows], kind="stable")][:TAIL]


def _tail(
    run: Run, stored: StoredChunks, kl: FloatArray, stop: Callable[[], bool]
) -> tuple[tuple[TailPosition, ...], str]:
    rows = _largest(kl)
    ends = np.cumsum(stored.sizes)
    parts = np.searchsorted(ends, rows, side="right")
    needed = stored.only({stored.chunks[part] for part in parts.tolist()})
    positions = Positions.concatenate(list(needed.positions()))
    # Around a position stand tokens of roles that do not count, too.
    whole = Positions.concatenate(list(needed.of_all_roles().positions()))
    places = {
        (int(chunk), int(position)): i
        for i, (chunk, position) in enumerate(
            zip(whole.chunk.tolist(), whole.position.tolist(), strict=True)
        )
    }
    # The same chunks, and no others, hold the largest: in order of chunk and position, as before.
    worst = _largest(positions.kl)
    around = [_around(places, positions, int(i)) for i in worst]
    tokens: NDArray[np.int32] = whole.token
    ids = {int(tokens[j]) for before, after in around for j in (*before, *after)}
    for column in (positions.token, positions.top_ref, positions.top_quant):
        ids |= set(column[worst].tolist())
    spelling = spelling_of(run, ids, stop)

    def text(rows: list[int]) -> str:
        return _text([int(tokens[j]) for j in rows], spelling.pieces)

    def wanted(token: int, logprob: float) -> WantedToken:
        return WantedToken(_text([token], spelling.pieces), math.exp(min(logprob, 0.0)))

    return tuple(
        TailPosition(
            kl=float(positions.kl[i]),
            chunk=int(positions.chunk[i]),
            position=int(positions.position[i]),
            before=text(before),
            token=_text([int(positions.token[i])], spelling.pieces),
            after=text(after),
            reference=wanted(int(positions.top_ref[i]), float(positions.top_ref_logprob[i])),
            quantized=wanted(int(positions.top_quant[i]), float(positions.top_quant_logprob[i])),
            flipped=bool(positions.flips[i]),
        )
        for i, (before, after) in zip(worst.tolist(), around, strict=True)
    ), spelling.notice


def _around(
    places: Mapping[tuple[int, int], int], positions: Positions, row: int
) -> tuple[list[int], list[int]]:
    """Rows of the positions just before and just after, as far as they are scored."""
    chunk, at = int(positions.chunk[row]), int(positions.position[row])
    before, after = (
        [places[chunk, t] for t in steps if (chunk, t) in places]
        for steps in (range(at - _TOKENS_BEFORE, at), range(at + 1, at + 1 + _TOKENS_AFTER))
    )
    return before, after


def _text(ids: list[int], pieces: Mapping[int, bytes]) -> str:
    """Tokens as one line; ids where their bytes are not known."""
    if all(pieces.get(token) for token in ids):
        return inert_text(b"".join(pieces[token] for token in ids))
    return " ".join(f"#{token}" for token in ids)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
