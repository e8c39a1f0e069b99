"""Memory against quality: the Pareto frontier, its ties, and the one recommendation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scorer.spec.settings.kv import KVSetting
from scorer.spec.thresholds import Verdict
from scorer.stats.pairs import PairedDifference

Pairs = Mapping[tuple[str, str], PairedDifference]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A scored setting as ranking sees it.

    Attributes:
        setting: The setting.
        cost: Stored bytes per token.
        kl_mean: Mean KL, nats; may be +inf.
        verdict: Tier by the point estimates.
        is_open: An interval leaves the verdict open.
        runnable: mlx-lm generates with it.
        more_chunks: About how many more chunks would settle an open verdict; None where it is
            settled or no number of chunks would.
    """

    setting: KVSetting
    cost: float
    kl_mean: float
    verdict: Verdict
    is_open: bool
    runnable: bool
    more_chunks: int | None = None

    @property
    def name(self) -> str:
        """The setting in notation."""
        return str(self.setting)

    @property
    def footing(self) -> tuple[int, str]:
        """What must be equal before two settings are ranked: first tokens kept, and the path."""
        return self.setting.start, self.setting.path


def told_apart(a: Candidate, b: Candidate, pairs: Pairs) -> bool:
    """Whether the paired interval excludes 0; unknown counts as no."""
    pair = pairs.get((a.name, b.name)) or pairs.get((b.name, a.name))
    return pair is not None and pair.told_apart is True


def tied(a: Candidate, b: Candidate, pairs: Pairs) -> bool:
    """Whether the paired interval holds 0; unknown counts as no here too."""
    pair = pairs.get((a.name, b.name)) or pairs.get((b.name, a.name))
    return pair is not None and pair.told_apart is False


def rankable(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those with a number to rank by: a NaN would win every comparison by losing none."""
    return [c for c in candidates if not math.isnan(c.kl_mean)]


def beats(a: Candidate, b: Candidate, pairs: Pairs) -> bool:
    """No worse in bytes and KL mean, better in one; at equal bytes only where told apart.

    Quality alone never ranks two settings that the text cannot tell apart.
    """
    if a.footing != b.footing or a.cost > b.cost or not a.kl_mean <= b.kl_mean:
        return False
    return a.cost < b.cost or (a.kl_mean < b.kl_mean and told_apart(a, b, pairs))


def beaten_by(candidates: Sequence[Candidate], pairs: Pairs) -> dict[str, str]:
    """Each beaten setting to the cheapest one that beats it."""
    found = {}
    candidates = rankable(candidates)
    for b in candidates:
        better = [a for a in candidates if beats(a, b, pairs)]
        if better:
            found[b.name] = min(better, key=lambda a: (a.cost, a.kl_mean)).name
    return found


def frontiers(candidates: Sequence[Candidate], pairs: Pairs) -> list[dict[str, Any]]:
    """One Pareto frontier per footing, cheapest first, with neighbours that are tied.

    Settings of different starts score different positions, and the dequantized path is not what
    a runtime computes: they are never on one frontier.
    """
    candidates = rankable(candidates)
    beaten = beaten_by(candidates, pairs)
    found = []
    for footing in dict.fromkeys(c.footing for c in candidates):
        members = [c for c in candidates if c.footing == footing and c.name not in beaten]
        members.sort(key=lambda c: (c.cost, c.kl_mean))
        ties = [[a.name, b.name] for a, b in itertools.pairwise(members) if tied(a, b, pairs)]
        found.append(
            {
                "quantize_start": footing[0],
                "path": footing[1],
                "settings": [c.name for c in members],
                "tied": ties,
            }
        )
    return found
