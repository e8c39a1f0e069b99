"""Memory against quality: the Pareto frontiers and their ties."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scorer.report.tree import Frontier
from scorer.runs.comparability import ComparabilityKey, common_chunks, comparable_groups
from scorer.spec.settings.base import Setting
from scorer.spec.thresholds import Verdict
from scorer.stats.pairs import PairedDifference

Pairs = Mapping[tuple[str, str], PairedDifference]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A scored setting as ranking sees it.

    Attributes:
        setting: The setting.
        cost: Stored bytes per token.
        kl_mean: Mean KL over the chunks that all candidates have that it is ranked with, nats;
            may be +inf.
        verdict: Tier by the point estimates, over all its own chunks.
        is_open: More chunks could show another verdict.
        runnable: mlx-lm generates with it.
        more_chunks: About how many more chunks would settle an open verdict; None where it is
            settled, or the number is not known, or no number of chunks would.
        settling: What would settle an open verdict, in words.
        chunks: Chunks that it was scored on.
    """

    setting: Setting
    cost: float
    kl_mean: float
    verdict: Verdict
    is_open: bool
    runnable: bool
    more_chunks: int | None = None
    settling: str = ""
    chunks: frozenset[int] = frozenset()

    @property
    def name(self) -> str:
        """The setting in notation."""
        return self.setting.key

    @property
    def key(self) -> ComparabilityKey:
        """What must be equal before two settings of a run are ranked."""
        return ComparabilityKey.of(self.setting, self.chunks)


def groups_of(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Those that may be ranked with each other: of one start and one path.

    Settings of different starts score different positions, and the dequantized path is not what
    a runtime computes.
    """
    return comparable_groups(candidates, lambda candidate: candidate.key)


def _pair(a: Candidate, b: Candidate, pairs: Pairs) -> tuple[bool | None, float]:
    """Whether two are told apart, None where unknown, and KL mean of ``a`` minus that of ``b``."""
    for names, sign in (((a.name, b.name), 1.0), ((b.name, a.name), -1.0)):
        if (pair := pairs.get(names)) is not None:
            return pair.told_apart, math.nan if pair.mean is None else sign * pair.mean
    return None, math.nan


def drifts_less(a: Candidate, b: Candidate, pairs: Pairs) -> bool:
    """Whether the paired differences tell ``a`` apart from ``b`` as the better; unknown is no."""
    apart, difference = _pair(a, b, pairs)
    return apart is True and difference < 0


def tied(a: Candidate, b: Candidate, pairs: Pairs) -> bool:
    """Whether the paired differences do not tell them apart; unknown counts as no."""
    return _pair(a, b, pairs)[0] is False


def rankable(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those with a number to rank by: a NaN would win every comparison by losing none."""
    return [c for c in candidates if not math.isnan(c.kl_mean)]


def beats(a: Candidate, b: Candidate, pairs: Pairs) -> bool:
    """No worse in bytes and KL mean, better in one; at equal bytes only where told apart.

    Quality alone never ranks two settings that the text cannot tell apart.
    """
    if a.key.differences(b.key) or a.cost > b.cost or not a.kl_mean <= b.kl_mean:
        return False
    return a.cost < b.cost or (a.kl_mean < b.kl_mean and drifts_less(a, b, pairs))


def beaten_by(candidates: Sequence[Candidate], pairs: Pairs) -> dict[str, str]:
    """Each beaten setting to the cheapest one that beats it."""
    found = {}
    candidates = rankable(candidates)
    for b in candidates:
        better = [a for a in candidates if beats(a, b, pairs)]
        if better:
            found[b.name] = min(better, key=lambda a: (a.cost, a.kl_mean)).name
    return found


def frontiers(candidates: Sequence[Candidate], pairs: Pairs) -> list[Frontier]:
    """One Pareto frontier per start and path, with neighbours that are tied."""
    candidates = rankable(candidates)
    beaten = beaten_by(candidates, pairs)
    found = []
    for group in groups_of(candidates):
        members = [c for c in group if c.name not in beaten]
        members.sort(key=lambda c: (c.cost, c.kl_mean))
        neighbours = itertools.pairwise(members)
        found.append(
            Frontier(
                quantize_start=group[0].key.start,
                path=group[0].key.path,
                settings=tuple(c.name for c in members),
                tied=tuple((a.name, b.name) for a, b in neighbours if tied(a, b, pairs)),
                n_chunks=len(common_chunks(c.key for c in group)),
            )
        )
    return found
