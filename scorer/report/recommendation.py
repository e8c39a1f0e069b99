"""The one recommendation: the cheapest good setting, else the best."""

from __future__ import annotations

from collections.abc import Sequence

from scorer.report.commands import generate_command
from scorer.report.formats.inline import count
from scorer.report.ranking import Candidate, Pairs, beats, rankable, tied
from scorer.report.tree import Recommendation, RecommendedSetting
from scorer.spec.job import Job
from scorer.stats.verdict import shown_verdict, tier_rank


def _cheapest(pool: Sequence[Candidate], pairs: Pairs) -> tuple[Candidate, list[str]]:
    """The cheapest candidate and the names of those it ties with.

    Among equal bytes what mlx-lm runs comes first, then the deployed path, then lower KL; one
    that is told apart as worse is no tie.
    """
    cost = min(c.cost for c in pool)
    equal = [c for c in pool if c.cost == cost]
    pick = min(equal, key=lambda c: (not c.runnable, c.setting.path != "deployed", c.kl_mean))
    ties = [c for c in equal if c is not pick and not beats(pick, c, pairs)]
    return pick, [c.name for c in ties]


def _best(pool: Sequence[Candidate], pairs: Pairs) -> tuple[Candidate, list[str]]:
    """The best candidate: highest tier, then what cannot be told from the lowest KL, cheapest."""
    top = max(tier_rank(c.verdict) for c in pool)
    tier = [c for c in pool if tier_rank(c.verdict) == top]
    lowest = min(tier, key=lambda c: (c.kl_mean, c.cost))
    near = [
        c
        for c in tier
        if c is lowest or (c.conditions == lowest.conditions and tied(c, lowest, pairs))
    ]
    pick = min(near, key=lambda c: (c.cost, not c.runnable, c.kl_mean))
    return pick, [c.name for c in near if c is not pick]


def _pick(pool: Sequence[Candidate], pairs: Pairs) -> tuple[Candidate, list[str]]:
    good = [c for c in pool if c.verdict == "good"]
    return _cheapest(good, pairs) if good else _best(pool, pairs)


def recommend(
    candidates: Sequence[Candidate],
    pairs: Pairs,
    cost_16bit: float,
    job: Job,
    chunks_left: int | None = None,
) -> Recommendation | None:
    """The one recommendation: the cheapest good setting, else the best and its tier.

    Args:
        candidates: The scored settings, in the order asked.
        pairs: Paired comparisons by two notations.
        cost_16bit: Stored bytes per token without quantization.
        job: What was asked.
        chunks_left: Chunks of the text beyond those scored; None where unknown.

    Returns:
        None where nothing was scored.
    """
    candidates = rankable(candidates)
    if not candidates:
        return None
    pick, ties = _pick(candidates, pairs)
    sentences = _sentences(pick, ties, cost_16bit, chunks_left)
    second: RecommendedSetting | None = None
    if not pick.runnable:
        runnable = [c for c in candidates if c.runnable]
        if runnable:
            other, other_ties = _pick(runnable, pairs)
            second = _recommended(other, other_ties, job)
            rank = "cheapest good setting it runs" if other.verdict == "good" else "best it runs"
            sentences.append(f"mlx-lm cannot run `{pick.name}`; the {rank} is {_named(other)}")
        else:
            sentences.append("mlx-lm runs none of the settings scored on this model")
    found = _recommended(pick, ties, job)
    return Recommendation(
        setting=found.setting,
        verdict=found.verdict,
        verdict_shown=found.verdict_shown,
        tied_with=found.tied_with,
        sentences=tuple(sentences),
        command=found.command,
        mlx_lm=second,
    )


def _recommended(pick: Candidate, ties: list[str], job: Job) -> RecommendedSetting:
    return RecommendedSetting(
        setting=pick.name,
        verdict=pick.verdict,
        verdict_shown=shown_verdict(pick.verdict, pick.is_open),
        tied_with=tuple(ties),
        command=generate_command(job.model, pick.setting) if pick.runnable else None,
    )


def _named(candidate: Candidate) -> str:
    return f"`{candidate.name}` ({shown_verdict(candidate.verdict, candidate.is_open)})"


def _sentences(
    pick: Candidate, ties: list[str], cost_16bit: float, chunks_left: int | None
) -> list[str]:
    share = f"{100 * pick.cost / cost_16bit:.1f} % of the 16-bit KV cache"
    if pick.verdict == "good":
        sentence = f"`{pick.name}` is the cheapest good setting scored: {share}"
        tie_words = "costs the same" if len(ties) == 1 else "cost the same"
    else:
        sentence = f"No setting scored is good; the best is {_named(pick)}: {share}"
        tie_words = "cannot be told apart from it on this text"
    sentences = [sentence]
    if ties:
        sentences.append(f"{', '.join(f'`{name}`' for name in ties)} {tie_words}")
    if pick.is_open:
        settle = ""
        if (more := pick.more_chunks) is not None:
            chunks = "chunk" if more == 1 else "chunks"
            settle = f"; about {count(more)} more {chunks} would settle it"
            if chunks_left is not None and more > chunks_left:
                settle += ", more than this text has"
        sentences.append(f"This verdict is open: an interval crosses a bound{settle}")
    return sentences
