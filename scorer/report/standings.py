"""Rows of many reports, ranked where that says something: within one comparability key.

What was scored (files of the model, text, tokenizer, protocol, length) makes a section; how it was
computed (device, arithmetic, versions), and where quantization starts, splits a section into
groups. Only rows of one group are ranked, on the chunks that all of them have. Rows with few chunks
would leave a group few in common: it is ranked without them first, then with them. Pure standard
library.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from scorer.report.row_keys import key_of
from scorer.report.setting_row import SettingNumbers, SettingRow
from scorer.report.tree import Report
from scorer.runs.comparability import ComparabilityKey, common_chunks
from scorer.spec.thresholds import KV, Thresholds
from scorer.stats.letters import letter, letter_groups
from scorer.stats.pairs import PairedDifference, as_family, paired_difference
from scorer.stats.stopping import RunEnds, looks_together
from scorer.stats.summary_values import ChunkSums

_WHAT = (
    *("model files", "model content", "corpus", "tokenizer", "tokenizer versions", "protocol"),
    *("chunk length", "roles"),
)
_LARGEST = 1e6
_LONGEST = 1 << 31
NO_KEY = "it is not known all that its figures depend on"
NO_CHUNKS = "its report does not hold its figures per chunk"
NO_COMMON = "it has no chunk in common with the others"


@dataclass(frozen=True, slots=True)
class NamedReport:
    """A report and what its run is called.

    Attributes:
        run: Id of the run, or where its report lies.
        report: The report.
    """

    run: str
    report: Report


@dataclass(frozen=True, slots=True)
class Standing:
    """A scored row of a group.

    Attributes:
        run: Its run.
        row: The row.
        numbers: Its numbers.
        kl_mean: KL mean over the common chunks of the group, nats.
        rank: One more than the number of rows that are told apart as better.
        letters: Rows of the group that share a letter are not told apart; "" where that is not
            known.
        more_runs: Other runs of the same setting in the group, of which this one has most chunks.
        bounds: What its verdict is given by: a run with weights judges by other bounds.
    """

    run: str
    row: SettingRow
    numbers: SettingNumbers
    kl_mean: float
    rank: int
    letters: str = ""
    more_runs: tuple[str, ...] = ()
    bounds: Thresholds = KV


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that may be ranked together.

    Attributes:
        key: Digest of their comparability key.
        first: The report of the first of them.
        row: The first of them.
        differs: In what the group differs from the first one of its section.
        standings: The rows, the least drift first.
        n_chunks: Chunks that all of them have.
        n_fewer: Rows of the key that are left out, because they have less than half of these
            chunks; the next group has them too.
        looks: At how many sets of common chunks they may have been compared, where a run stops once
            it is settled; else 1. Pairs are tested at that share of the 5 %.
    """

    key: str
    first: NamedReport
    row: SettingRow
    differs: tuple[str, ...]
    standings: tuple[Standing, ...]
    n_chunks: int
    n_fewer: int = 0
    looks: int = 1


@dataclass(frozen=True, slots=True)
class NotRanked:
    """A scored row that is ranked with no other.

    Attributes:
        run: Its run.
        report: The report.
        row: The row.
        why: Why, in words.
    """

    run: str
    report: Report
    row: SettingRow
    why: str


@dataclass(slots=True)
class Standings:
    """All rows of some reports.

    Attributes:
        sections: Groups of the same text, model and length.
        not_ranked: Scored rows that are ranked with no other.
        without_numbers: How many rows were not scored.
    """

    sections: list[list[Group]] = field(default_factory=list)
    not_ranked: list[NotRanked] = field(default_factory=list)
    without_numbers: int = 0


@dataclass(frozen=True, slots=True)
class _Entry:
    of: NamedReport
    row: SettingRow
    numbers: SettingNumbers
    key: ComparabilityKey
    sums: ChunkSums

    @property
    def same_setting(self) -> tuple[object, ...]:
        """Equal of rows that scored the same."""
        own = self.row.weights
        weights = () if own is None else (own.model_revision, *sorted(map(str, own.files.items())))
        return (self.row.setting, *weights)


def standings(reports: Iterable[NamedReport]) -> Standings:
    """Rank the rows of reports, as far as they may be ranked.

    Args:
        reports: The reports, in the order in which runs of one setting are named.
    """
    found = Standings()
    groups: dict[str, list[_Entry]] = {}
    for of in reports:
        conditions = of.report.run.conditions or None
        for row in of.report.settings:
            numbers = row.numbers
            if numbers is None:
                found.without_numbers += 1
                continue
            key = key_of(of.report, row, conditions, of.run)
            sums = _sums(of.report, row, numbers)
            if (digest := key.digest) is None or sums is None:
                why = NO_CHUNKS if digest else NO_KEY
                found.not_ranked.append(NotRanked(of.run, of.report, row, why))
            else:
                groups.setdefault(digest, []).append(_Entry(of, row, numbers, key, sums))
    sections: dict[tuple[object, ...], list[tuple[str, list[_Entry]]]] = {}
    for digest, entries in groups.items():
        known = entries[0].key.conditions or {}
        what = tuple(known.get(name) for name in _WHAT)
        sections.setdefault(what, []).append((digest, entries))
    for members in sections.values():
        first = members[0][1][0]
        found.sections.append(
            [group for digest, each in members for group in _groups(digest, each, first, found)]
        )
    return found


def ends_of(report: Report) -> RunEnds:
    """After how many chunks the run of a report may have ended."""
    stopping = report.stopping
    sizes = (report.run.chunks_planned,) if stopping is None else stopping.looks
    return RunEnds(sizes, report.run.job.chunks)


def _sums(report: Report, row: SettingRow, numbers: SettingNumbers) -> ChunkSums | None:
    """Sums over each chunk; None where the report holds none."""
    chunks, means = report.chunks_of(row), numbers.kl_mean_per_chunk
    if not chunks or len(chunks) != len(means) or len(set(chunks)) != len(chunks):
        return None
    sizes = numbers.sizes(len(chunks))
    if len(sizes) != len(chunks) or not all(1 <= size <= _LONGEST for size in sizes):
        return None
    if not all(_is_kl(mean) for mean in means):
        return None
    zeros = (0,) * len(chunks)
    sums = tuple(mean * size for mean, size in zip(means, sizes, strict=True))
    return ChunkSums(chunks, sizes, sums, zeros, zeros)


def _is_kl(mean: float) -> bool:
    """Whether a number can be a KL mean: rounding may put it below 0, and it may be infinite."""
    return mean == math.inf or abs(mean) < _LARGEST


def _groups(digest: str, entries: list[_Entry], first: _Entry, found: Standings) -> Iterator[Group]:
    """Rank the rows of one key; those without a common chunk go to those that are not ranked.

    Yields:
        Groups that each hold the one before; the last holds all rows.
    """
    same: dict[tuple[object, ...], list[_Entry]] = {}
    for entry in entries:
        same.setdefault(entry.same_setting, []).append(entry)
    chosen = [max(each, key=lambda entry: len(entry.sums.chunks)) for each in same.values()]
    # Rows that share most with others stay together where some has none of theirs; of equals those
    # with most chunks.
    owners = Counter(chunk for entry in chosen for chunk in entry.sums.chunks)
    chosen.sort(
        key=lambda entry: (
            -sum(owners[chunk] - 1 for chunk in entry.sums.chunks),
            -len(entry.sums.chunks),
        )
    )
    together: list[_Entry] = []
    for entry in chosen:
        if common_chunks(each.key for each in (*together, entry)):
            together.append(entry)
        else:
            found.not_ranked.append(NotRanked(entry.of.run, entry.of.report, entry.row, NO_COMMON))
    for size in _cuts([entry.key.chunks for entry in together]):
        yield _group(digest, together[:size], len(together) - size, same, entries[0], first)


def _cuts(chunks: Sequence[frozenset[int]]) -> Iterator[int]:
    """How many of the rows make a group, ascending: before those that cut its chunks by half.

    Args:
        chunks: Those of each row; rows that share most with others come first.
    """
    common = base = chunks[0]
    for size, more in enumerate(chunks[1:], 1):
        common &= more
        if 2 * len(common) < len(base):
            # One row alone is compared with nothing.
            if size > 1:
                yield size
            base = common
    yield len(chunks)


def _group(
    digest: str,
    together: Sequence[_Entry],
    n_fewer: int,
    same: Mapping[tuple[object, ...], Sequence[_Entry]],
    own: _Entry,
    first: _Entry,
) -> Group:
    """Rank one group.

    Args:
        digest: Its key.
        together: Its rows.
        n_fewer: Rows that are left out.
        same: All rows of the key, by setting.
        own: The first row of the key.
        first: The first of the section.
    """
    common = common_chunks(entry.key for entry in together)
    means = [_mean_on(entry.sums, common) for entry in together]
    names = [str(place) for place in range(len(together))]
    looks = looks_together(ends_of(entry.of.report) for entry in together)
    pairs = _family(dict(zip(names, together, strict=True)), looks)
    better = _better(pairs)
    order = sorted(range(len(together)), key=lambda i: (means[i], together[i].row.setting))
    letters = _letters([names[i] for i in order], pairs)
    ranked = [
        Standing(
            entry.of.run,
            entry.row,
            entry.numbers,
            mean,
            1 + len(better.get(name, ())),
            letters.get(name, ""),
            tuple(
                other.of.run for other in same[entry.same_setting] if other.of.run != entry.of.run
            ),
            entry.of.report.verdict_bounds,
        )
        for name, entry, mean in zip(names, together, means, strict=True)
    ]
    ranked.sort(key=lambda each: (each.kl_mean, each.row.setting))
    return Group(
        digest,
        own.of,
        own.row,
        first.key.differences(own.key),
        tuple(ranked),
        len(common),
        n_fewer,
        looks,
    )


def _family(entries: Mapping[str, _Entry], looks: int) -> dict[tuple[str, str], PairedDifference]:
    """Every two rows, as one family, by their names."""
    pairs: dict[tuple[str, str], PairedDifference] = {}
    for a, b in itertools.combinations(entries, 2):
        # Which document a chunk is of is not in a report.
        pairs[a, b] = paired_difference(entries[a].sums, entries[b].sums, {})
    noise = {
        name: floors.kl_mean.upper
        for name, entry in entries.items()
        if (floors := entry.row.noise_floors) is not None
    }
    return as_family(pairs, noise, looks)


def _better(pairs: Mapping[tuple[str, str], PairedDifference]) -> dict[str, set[str]]:
    """Name of each row to those that are told apart from it and drift less."""
    found: dict[str, set[str]] = {}
    for (a, b), pair in pairs.items():
        if pair.told_apart and pair.mean is not None:
            found.setdefault(b if pair.mean < 0 else a, set()).add(a if pair.mean < 0 else b)
    return found


def _letters(
    names: Sequence[str], pairs: Mapping[tuple[str, str], PairedDifference]
) -> dict[str, str]:
    """Name of each row to its letters; rows without a usable pair have none.

    Args:
        names: Of the rows, the least drift first.
        pairs: Every two of them.
    """
    tested = {both: pair.told_apart for both, pair in pairs.items() if pair.told_apart is not None}
    alike = [both for both, apart in tested.items() if not apart]
    compared = {name for both in tested for name in both}
    found: dict[str, str] = {}
    for i, group in enumerate(letter_groups([n for n in names if n in compared], alike)):
        for name in group:
            found[name] = found.get(name, "") + letter(i)
    return found


def _mean_on(sums: ChunkSums, chunks: frozenset[int]) -> float:
    parts = zip(sums.chunks, sums.kl, sums.sizes, strict=True)
    found = [(kl, size) for chunk, kl, size in parts if chunk in chunks]
    return math.fsum(kl for kl, _ in found) / sum(size for _, size in found)
