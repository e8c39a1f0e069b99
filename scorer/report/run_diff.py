"""Pairs two saved runs that scored the same, and says how far their figures lie apart.

*What* was scored must be equal: files of the model, text, tokens, protocol, length, setting. *How*
may differ: device, arithmetic, versions; that is what is compared. The rows of the two never stand
on one frontier.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from scorer.common.errors import InputError, QfidError
from scorer.report.run_diff_part import DiffSide, HowDiffers, Outcome, RunDiff, SettingDiff, Within
from scorer.report.stopping import planned_looks
from scorer.runs.comparability import ROLES, WHAT, ComparabilityKey, run_conditions, words_of
from scorer.runs.facts import RunFacts
from scorer.runs.identity import Identity
from scorer.runs.run import Run
from scorer.runs.stored_chunks import StoredChunks
from scorer.spec.settings.base import Setting
from scorer.stats.intervals import CONFIDENCE, Interval
from scorer.stats.pairs import paired_difference
from scorer.stats.stopping import RunEnds, looks_of_pair
from scorer.stats.summary import exp_of
from scorer.stats.summary_values import ChunkSums


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """A run with what is needed of it."""

    run: Run
    facts: RunFacts
    conditions: Identity
    scored: dict[str, StoredChunks]

    @classmethod
    def of(cls, run: Run) -> _Side:
        facts = run.facts.run
        if facts is None:
            raise InputError(f"`job.json` of run `{run.id}` lacks the facts of the run")
        stored, failed, repeats = run.read(), run.failures(), facts.equal_chunks or {}
        scored = {}
        for setting in run.job.settings:
            name = run.stored_as(setting.key)
            chunks = stored.get(name)
            if chunks and name not in failed:
                scored[setting.key] = chunks.without(repeats)
        return cls(run, facts, run_conditions(run.facts), scored)

    @property
    def settings(self) -> dict[str, Setting]:
        return {setting.key: setting for setting in self.run.job.settings}

    def part(self) -> DiffSide:
        chunks = {chunk for each in self.scored.values() for chunk in each.chunks}
        return DiffSide(
            run=self.run.id,
            model_id=self.facts.model_id,
            model_revision=self.facts.model_revision,
            device=self.facts.device.name,
            arithmetic=self.facts.arithmetic.description,
            n_chunks=len(chunks),
            looks=self.ends.sizes if self.run.job.until_settled else (),
            stopped_at=self.run.state().stopped_at,
        )

    @property
    def ends(self) -> RunEnds:
        """After how many chunks the run may have ended."""
        looks = planned_looks(self.facts)
        stops = self.run.job.until_settled
        return RunEnds(looks if stops else looks[-1:], self.run.job.chunks)

    def key_of(self, setting: str) -> str | None:
        """The comparability key of a row."""
        chunks = self.scored[setting].chunks
        own = self.settings[setting]
        return ComparabilityKey.of(own, chunks, self.run.id, self.conditions).digest


def run_diff(a: Run, b: Run, settings: Sequence[str] = (), within: Within | None = None) -> RunDiff:
    """Compare two saved runs on their common settings and chunks.

    Each setting's difference is paired by chunk and clustered by document. With ``n`` settings each
    interval has the confidence ``1 - 5 % / n`` (Bonferroni), so that all hold together with 95 %.
    Where a run stops once it is settled, ``n`` counts each setting once for every set of common
    chunks at which the two may have been compared.

    Args:
        a: The first run.
        b: The second run.
        settings: Settings in notation; empty for all that both have.
        within: How far two KL means may lie apart; None for 10 % of the first one's.

    Raises:
        InputError: They did not score the same, or have no such setting or no chunk in common; the
            message says in one line what differs.
        QfidError: Positions cannot be read.
    """
    within = within or Within()
    _check_what(a, b)
    first, second = _Side.of(a), _Side.of(b)
    names = _common_settings(first, second, settings)
    looks = looks_of_pair(first.ends, second.ends)
    confidence = 1 - (1 - CONFIDENCE) / (len(names) * looks)
    return RunDiff(
        a=first.part(),
        b=second.part(),
        text=first.facts.corpus.name,
        corpus_sha256=str(first.conditions["corpus"]),
        protocol=first.facts.job.protocol,
        chunk_length=first.facts.chunk_length,
        how=tuple(_how(first, second)),
        within=within,
        settings=tuple(_setting(first, second, name, confidence, within) for name in names),
        only_a=tuple(name for name in first.scored if name not in names),
        only_b=tuple(name for name in second.scored if name not in names),
        looks=looks,
    )


def _check_what(a: Run, b: Run) -> None:
    """See that both scored the same, before any position is read."""
    if a.path.resolve() == b.path.resolve():
        raise InputError(f"run `{a.id}` is compared with itself")
    for run in (a, b):
        if run.facts.mixed:
            raise InputError(
                f"run `{run.id}` was continued under other conditions (--accept-changes): how its "
                "figures were made is not one thing"
            )
    for name in WHAT:
        one, other = a.facts.identity.get(name), b.facts.identity.get(name)
        words = words_of(name)
        if one is None or other is None:
            lacking = a if one is None else b
            raise InputError(
                f"runs `{a.id}` and `{b.id}` are not compared: `{lacking.id}` does not say which "
                f"{words} it had"
            )
        if one != other:
            values = f": {one} and {other}" if words == name and name != "tokenizer" else ""
            raise InputError(
                f"runs `{a.id}` and `{b.id}` did not score the same: not the same {words}{values}"
            )
    # Of a chat text; a run whose tokens all count does not name them.
    roles = [run.facts.identity.get(ROLES, "all") for run in (a, b)]
    if roles[0] != roles[1]:
        raise InputError(
            f"runs `{a.id}` and `{b.id}` did not score the same: not the same roles: "
            f"{roles[0]} and {roles[1]}"
        )


def _common_settings(a: _Side, b: _Side, wanted: Sequence[str]) -> list[str]:
    runs = f"runs `{a.run.id}` and `{b.run.id}`"
    names = list(wanted) or [name for name in a.scored if name in b.scored]
    for side in (a, b):
        if missing := [name for name in names if name not in side.scored]:
            own = ", ".join(f"`{name}`" for name in side.scored) or "none"
            raise InputError(
                f"run `{side.run.id}` has no scored setting `{missing[0]}`; it has {own}"
            )
    if not names:
        raise InputError(f"{runs} have no scored setting in common")
    for name in names:
        mine, theirs = (side.run.facts.settings[name].fingerprint for side in (a, b))
        if other := [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]:
            raise InputError(
                f"{runs} did not score the same: `{name}` stood for other weights ("
                f"{', '.join(other)})"
            )
    return names


def _how(a: _Side, b: _Side) -> Iterator[HowDiffers]:
    """The conditions that differ, then versions that the conditions do not name."""
    for name in dict.fromkeys((*a.conditions, *b.conditions)):
        one, other = a.conditions.get(name), b.conditions.get(name)
        if name not in WHAT and one != other:
            yield HowDiffers(name=name, a=_text(one), b=_text(other))
    own, others = a.facts.versions, b.facts.versions
    for name in dict.fromkeys((*own, *others)):
        named = f"{name} version" in {**a.conditions, **b.conditions}
        if not named and own.get(name) != others.get(name):
            yield HowDiffers(name=name, a=own.get(name), b=others.get(name))


def _text(value: object) -> str | None:
    return None if value is None else str(value)


@dataclass(slots=True)
class _Sums:
    """What is added up over the common chunks of a setting."""

    sizes: list[int]
    kl_a: list[float]
    kl_b: list[float]
    nll_a: list[float]
    nll_b: list[float]
    flips_a: int = 0
    flips_b: int = 0
    flips_differ: int = 0
    top_quant: int = 0
    top_ref: int = 0
    largest: float = 0.0


def _setting(a: _Side, b: _Side, name: str, confidence: float, within: Within) -> SettingDiff:
    mine, theirs = a.scored[name], b.scored[name]
    common = sorted(set(mine.chunks) & set(theirs.chunks))
    if not common:
        raise InputError(
            f"runs `{a.run.id}` and `{b.run.id}` have no chunk of `{name}` in common: they chose "
            "other chunks of the text"
        )
    found = _added_up(a, b, name, mine.only(set(common)), theirs.only(set(common)))
    size, zeros = sum(found.sizes), (0,) * len(common)
    sums = [
        ChunkSums(tuple(common), tuple(found.sizes), tuple(kl), zeros, zeros)
        for kl in (found.kl_a, found.kl_b)
    ]
    pair = paired_difference(sums[1], sums[0], a.facts.documents)
    ends = None
    if pair.interval is not None and pair.estimate is not None:
        ends = pair.estimate.interval(confidence)
    means = [math.fsum(kl) / size for kl in (found.kl_a, found.kl_b)]
    bound = within.nats(means[0])
    return SettingDiff(
        setting=name,
        key_a=a.key_of(name),
        key_b=b.key_of(name),
        n_chunks=len(common),
        n_positions=size,
        kl_mean_a=means[0],
        kl_mean_b=means[1],
        difference=pair.mean,
        interval=ends,
        confidence=confidence,
        unit=pair.unit,
        n_units=0 if pair.estimate is None else pair.estimate.units,
        label=pair.label,
        within=bound,
        outcome=outcome_of(ends, bound),
        flips_a=found.flips_a,
        flips_b=found.flips_b,
        flips_differ=found.flips_differ,
        top_quant_differs=found.top_quant,
        top_ref_differs=found.top_ref,
        perplexity_ref_a=exp_of(math.fsum(found.nll_a) / size),
        perplexity_ref_b=exp_of(math.fsum(found.nll_b) / size),
        largest_change=found.largest,
    )


def outcome_of(interval: Interval | None, bound: float) -> Outcome:
    """Where the interval of a difference lies.

    Args:
        interval: The interval, nats; None where there is none.
        bound: How far the means may lie apart, nats.
    """
    if interval is None:
        return "neither"
    if -bound <= interval.low and interval.high <= bound:
        return "within"
    return "beyond" if interval.low > bound or interval.high < -bound else "neither"


def _added_up(a: _Side, b: _Side, name: str, mine: StoredChunks, theirs: StoredChunks) -> _Sums:
    found = _Sums([], [], [], [], [])
    for one, other in zip(mine.positions(), theirs.positions(), strict=True):
        chunk = int(one.chunk[0])
        if not np.array_equal(one.position, other.position):
            raise QfidError(f"chunk {chunk} of `{name}` has other positions in one of the runs")
        if not np.array_equal(one.token, other.token):
            raise InputError(
                f"runs `{a.run.id}` and `{b.run.id}` did not score the same: the tokens of chunk "
                f"{chunk} differ"
            )
        found.sizes.append(len(one))
        for positions, kl, nll in (
            (one, found.kl_a, found.nll_a),
            (other, found.kl_b, found.nll_b),
        ):
            kl.append(math.fsum(positions.kl.tolist()))
            nll.append(math.fsum(positions.nll_ref.tolist()))
        found.flips_a += int(one.flips.sum())
        found.flips_b += int(other.flips.sum())
        found.flips_differ += int((one.flips != other.flips).sum())
        found.top_quant += int((one.top_quant != other.top_quant).sum())
        found.top_ref += int((one.top_ref != other.top_ref).sum())
        same = one.kl == other.kl  # Two infinities have no difference.
        change = np.abs(np.where(same, 0.0, other.kl) - np.where(same, 0.0, one.kl))
        found.largest = max(found.largest, float(change.max()))
    return found
