"""Settings of several runs side by side, in groups that may be ranked.

Only rows without a difference in their :class:`~scorer.runs.comparability.ComparabilityKey` stand
in one group, with one scale and one order. Reads reports, and the positions of runs that have no
report of these rules: call it in a thread.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qfid_tui.state.setting_results import Figures, figures_of
from qfid_tui.state.text_names import text_name
from scorer.common.errors import QfidError
from scorer.runs.comparability import (
    ComparabilityKey,
    common_chunks,
    comparable_groups,
    run_conditions,
)
from scorer.spec.thresholds import WEIGHTS
from scorer.stats.pairs import PairedDifference, as_family, paired_difference
from scorer.stats.stopping import RunEnds, looks_together
from scorer.stats.summary_values import ChunkSums

if TYPE_CHECKING:
    from scorer.report.setting_row import SettingRow
    from scorer.report.tree import Report

_NO_LOOKS = RunEnds((0,), "")


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One of the runs.

    Attributes:
        id: Its id.
        model: The model as the job names it; "" where the run cannot be read, as is the next.
        text: Name of its text and length of its chunks.
        fault: Why it has no rows; "" where it has.
    """

    id: str
    model: str = ""
    text: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """A setting of one of the runs.

    Attributes:
        run: Index of its run.
        name: The setting in notation.
        figures: Its numbers, over all its own chunks.
        cache: Its bytes per token by those of the 16-bit cache; None where not known.
        key: What its figures depend on.
        sums: Its sums per chunk.
        documents: Chunk to document.
        noise: Upper end of the noise floor of its KL mean, nats; 0 where not measured.
        simultaneous: Its interval is that of a run that stops once it is settled.
        by_weights: Its verdict is by the bounds of weights, as all of a run that has some.
        ends: After how many chunks its run may have ended.
    """

    run: int
    name: str
    figures: Figures
    cache: float | None
    key: ComparabilityKey
    sums: ChunkSums
    documents: Mapping[int, int | None]
    noise: float = 0.0
    simultaneous: bool = False
    by_weights: bool = False
    ends: RunEnds = _NO_LOOKS

    def kl_on(self, chunks: frozenset[int]) -> float:
        """KL mean over some of its chunks, nats; NaN without any."""
        kept = [
            (kl, size)
            for chunk, kl, size in zip(self.sums.chunks, self.sums.kl, self.sums.sizes, strict=True)
            if chunk in chunks
        ]
        total = sum(size for _, size in kept)
        return sum(kl for kl, _ in kept) / total if total else math.nan


@dataclass(frozen=True, slots=True)
class ComparedGroup:
    """Rows that may be ranked with each other.

    Attributes:
        rows: The rows, by their KL mean on the common chunks.
        ranks: Of each row, 1 and the number of rows that are told apart from it as better; None
            where some pair has no interval, or the group is one row.
        common: Number of chunks that all of them have; order and ranks rest on these.
        differs: In what the group differs from the first one, in words; empty for the first.
    """

    rows: tuple[ComparedRow, ...]
    ranks: tuple[int | None, ...]
    common: int
    differs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ComparedRuns:
    """Runs side by side.

    Attributes:
        runs: The runs, in the order asked.
        groups: Their settings.
    """

    runs: tuple[ComparedRun, ...]
    groups: tuple[ComparedGroup, ...]


def read_compared(ids: Sequence[str]) -> ComparedRuns:
    """Read runs to compare; one that cannot be read says why and has no rows."""
    runs: list[ComparedRun] = []
    rows: list[ComparedRow] = []
    for i, run_id in enumerate(ids):
        run, found = _read(i, run_id)
        runs.append(run)
        rows += found
    return ComparedRuns(tuple(runs), tuple(grouped(rows)))


def grouped(rows: Iterable[ComparedRow]) -> list[ComparedGroup]:
    """Split rows into groups that may be ranked, and rank each."""
    groups = comparable_groups(list(rows), lambda row: row.key)
    return [_group(members, groups[0][0].key.differences(members[0].key)) for members in groups]


def _group(members: Sequence[ComparedRow], differs: tuple[str, ...]) -> ComparedGroup:
    chunks = common_chunks(row.key for row in members)
    ordered = sorted(members, key=lambda row: _nan_last(row.kl_on(chunks)))
    return ComparedGroup(tuple(ordered), tuple(_ranks(ordered)), len(chunks), differs)


def _nan_last(value: float) -> tuple[bool, float]:
    return math.isnan(value), 0.0 if math.isnan(value) else value


def _ranks(rows: Sequence[ComparedRow]) -> list[int | None]:
    """The ranks of rows of one group, all pairs tested as one family."""
    if len(rows) < 2:
        return [None] * len(rows)
    pairs: dict[tuple[str, str], PairedDifference] = {
        (str(i), str(j)): paired_difference(a.sums, b.sums, {**b.documents, **a.documents})
        for (i, a), (j, b) in itertools.combinations(enumerate(rows), 2)
    }
    noise = {str(i): row.noise for i, row in enumerate(rows)}
    tested = as_family(pairs, noise, looks_together(row.ends for row in rows))
    better: list[int | None] = [0] * len(rows)
    for (i, j), pair in tested.items():
        for own, sign in ((int(i), 1), (int(j), -1)):
            count = better[own]
            if pair.told_apart is None or pair.mean is None:
                better[own] = None
            elif count is not None:
                better[own] = count + (pair.told_apart and sign * pair.mean > 0)
    return [None if count is None else count + 1 for count in better]


def _read(index: int, run_id: str) -> tuple[ComparedRun, list[ComparedRow]]:
    from qfid_tui.state.saved_comparison import documents_of
    from scorer.report.saved_report import saved_report
    from scorer.report.standings import ends_of
    from scorer.runs.listing import find_run

    try:
        run = find_run(run_id)
        job = run.job
        about = ComparedRun(
            run_id,
            job.model,
            f"{text_name(job.corpus.source)}, chunks of {job.chunk_length}",
        )
        try:
            report = saved_report(run)
        except QfidError as error:
            return ComparedRun(run_id, about.model, about.text, error.message), []
        conditions = run_conditions(run.readable_facts)
        documents = documents_of(run)
    except QfidError as error:
        return ComparedRun(run_id, fault=error.message), []
    found, ends = [], ends_of(report)
    for row in report.settings:
        figures, sums = figures_of(row), _sums(report, row)
        if figures is not None and sums is not None:
            key = ComparabilityKey(
                run_id, conditions, row.quantize_start, row.path, frozenset(sums.chunks)
            )
            noise = 0.0 if row.noise_floors is None else row.noise_floors.upper("kl_mean")
            cache = row.kv_bytes_share
            stops = row.numbers is not None and row.numbers.intervals.simultaneous
            found.append(
                ComparedRow(
                    *(index, row.setting, figures, cache, key, sums, documents, noise, stops),
                    by_weights=report.verdict_bounds == WEIGHTS,
                    ends=ends,
                )
            )
    if not found:
        return ComparedRun(run_id, about.model, about.text, "no setting has numbers"), []
    return about, found


def _sums(report: Report, row: SettingRow) -> ChunkSums | None:
    """The sums per chunk that a report holds; None where it was made without them."""
    numbers, chunks = row.numbers, report.chunks_of(row)
    if numbers is None or not chunks or len(numbers.kl_mean_per_chunk) != len(chunks):
        return None
    sizes, means = numbers.sizes(len(chunks)), numbers.kl_mean_per_chunk
    return ChunkSums(
        chunks=chunks,
        sizes=sizes,
        kl=tuple(size * mean for size, mean in zip(sizes, means, strict=True)),
        flips=numbers.flips_per_chunk,
        nll_difference=(0.0,) * len(chunks),
    )
