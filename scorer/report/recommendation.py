"""The one recommendation: the cheapest setting that is settled as good, else the best."""

from __future__ import annotations

from collections.abc import Sequence

from scorer.report.commands import generate_command
from scorer.report.deployment_part import DeploymentPart
from scorer.report.ranking import Candidate, Pairs, beats, groups_of, rankable, tied
from scorer.report.setting_row import SettingRow
from scorer.report.tree import LeftOut, OpenSetting, Recommendation, RecommendedSetting
from scorer.runs.comparability import precedence
from scorer.spec.job import Job
from scorer.spec.settings.base import Setting
from scorer.spec.settings.kv import KVSetting
from scorer.stats.verdict import shown_verdict, tier_rank


def _cheapest(pool: Sequence[Candidate], pairs: Pairs) -> tuple[Candidate, list[str]]:
    """The cheapest candidate and the names of those it ties with.

    Among equal bytes what mlx-lm runs comes first, then lower KL; one that is told apart as worse
    is no tie.
    """
    cost = min(c.cost for c in pool)
    equal = [c for c in pool if c.cost == cost]
    pick = min(equal, key=lambda c: (not c.runnable, c.kl_mean))
    ties = [c for c in equal if c is not pick and not beats(pick, c, pairs)]
    return pick, [c.name for c in ties]


def _best(pool: Sequence[Candidate], pairs: Pairs) -> tuple[Candidate, list[str]]:
    """The best candidate: highest tier, then what cannot be told from the lowest KL, cheapest."""
    top = max(tier_rank(c.verdict) for c in pool)
    tier = [c for c in pool if tier_rank(c.verdict) == top]
    lowest = min(tier, key=lambda c: (c.kl_mean, c.cost))
    near = [c for c in tier if c is lowest or tied(c, lowest, pairs)]
    pick = min(near, key=lambda c: (c.cost, not c.runnable, c.kl_mean))
    return pick, [c.name for c in near if c is not pick]


def _is_settled_good(candidate: Candidate) -> bool:
    return candidate.verdict == "good" and not candidate.is_open


def _pick(pool: Sequence[Candidate], pairs: Pairs) -> tuple[Candidate, list[str]]:
    good = [c for c in pool if _is_settled_good(c)]
    return _cheapest(good, pairs) if good else _best(pool, pairs)


def recommend(
    candidates: Sequence[Candidate], pairs: Pairs, cost_16bit: float, job: Job
) -> Recommendation | None:
    """The one recommendation: the cheapest settled good setting, else the best and its tier.

    It is made among settings of one start and path: what a runtime computes before the quantizer
    alone, stress before deployment. The others are named, with what they differ in.

    Args:
        candidates: The scored settings, in the order asked.
        pairs: Paired comparisons by two notations.
        cost_16bit: Stored bytes per token without quantization.
        job: What was asked.

    Returns:
        None where nothing was scored.
    """
    candidates = rankable(candidates)
    if not candidates:
        return None
    groups = groups_of(candidates)
    pool = min(groups, key=lambda group: precedence(group[0].key))
    pick, ties = _pick(pool, pairs)
    cheaper = _cheaper_open(pool, pick, cost_16bit)
    alike = _cheaper_alike(pool, pick, pairs)
    sentences = _sentences(pick, ties, cost_16bit, cheaper, alike)
    second: RecommendedSetting | None = None
    if pick.setting.path != "deployed":
        sentences.append(
            f"`{pick.name}` is the quantizer alone, which mlx-lm does not compute: score "
            f"`{_deployed(pick.setting)}` before it is used"
        )
    elif not pick.runnable:
        runnable = [c for c in pool if c.runnable]
        if runnable:
            other, other_ties = _pick(runnable, pairs)
            second = _recommended(other, other_ties, job)
            rank = "cheapest good setting it runs" if _is_settled_good(other) else "best it runs"
            sentences.append(f"mlx-lm cannot run `{pick.name}`; the {rank} is {_named(other)}")
        else:
            sentences.append("mlx-lm runs none of the settings scored on this model")
    left_out = tuple(
        LeftOut(
            settings=tuple(c.name for c in group), differs=pool[0].key.differences(group[0].key)
        )
        for group in groups
        if group is not pool
    )
    sentences += [_apart(found) for found in left_out]
    found = _recommended(pick, ties, job)
    return Recommendation(
        setting=found.setting,
        verdict=found.verdict,
        verdict_shown=found.verdict_shown,
        tied_with=found.tied_with,
        sentences=tuple(sentences),
        command=found.command,
        mlx_lm=second,
        cheaper_open=cheaper,
        cheaper_alike=tuple(c.name for c in alike),
        left_out=left_out,
    )


def recommended_deployment(
    deployment: DeploymentPart, rows: Sequence[SettingRow]
) -> Recommendation | None:
    """The choice for a deployment as a recommendation.

    Args:
        deployment: What fits, and what was chosen.
        rows: The settings of the report.

    Returns:
        None where nothing is chosen, or the reference itself is.
    """
    row = next((row for row in rows if row.setting == deployment.pick), None)
    if row is None or row.numbers is None:
        return None
    return Recommendation(
        setting=row.setting,
        verdict=row.numbers.verdict,
        verdict_shown=row.numbers.verdict_shown,
        tied_with=deployment.tied_with,
        sentences=deployment.sentences,
        command=deployment.commands[-1] if deployment.commands else None,
        cheaper_alike=deployment.cheaper_alike,
    )


def _cheaper_open(
    pool: Sequence[Candidate], pick: Candidate, cost_16bit: float
) -> OpenSetting | None:
    """The cheapest good setting below the cost of the recommended one; its verdict is open."""
    cheaper = [c for c in pool if c.verdict == "good" and c.is_open and c.cost < pick.cost]
    if not cheaper:
        return None
    found = min(cheaper, key=lambda c: (c.cost, not c.runnable, c.kl_mean))
    return OpenSetting(
        setting=found.name,
        verdict=found.verdict,
        verdict_shown=shown_verdict(found.verdict, found.is_open),
        kv_bytes_share=found.cost / cost_16bit if cost_16bit else None,
        more_chunks=found.more_chunks,
        settling=found.settling,
    )


def _cheaper_alike(pool: Sequence[Candidate], pick: Candidate, pairs: Pairs) -> list[Candidate]:
    """Those that cost less and cannot be told apart from the recommended one, cheapest first."""
    found = [c for c in pool if c.cost < pick.cost and tied(c, pick, pairs)]
    return sorted(found, key=lambda c: (c.cost, c.kl_mean))


def _recommended(pick: Candidate, ties: list[str], job: Job) -> RecommendedSetting:
    # A command of mlx-lm runs the deployed path, which says nothing of another path's figures.
    runs = pick.runnable and pick.setting.path == "deployed"
    return RecommendedSetting(
        setting=pick.name,
        verdict=pick.verdict,
        verdict_shown=shown_verdict(pick.verdict, pick.is_open),
        tied_with=tuple(ties),
        command=generate_command(job.model, pick.setting) if runs else None,
    )


def _named(candidate: Candidate) -> str:
    return f"`{candidate.name}` ({shown_verdict(candidate.verdict, candidate.is_open)})"


def _deployed(setting: Setting) -> str:
    """The same setting on the deployed path, in notation."""
    if isinstance(setting, KVSetting):
        return KVSetting.of(setting.keys, setting.values, setting.start).key
    return "its deployed path"


def _share(cost: float, cost_16bit: float) -> str:
    return f"{100 * cost / cost_16bit:.1f} % of the 16-bit KV cache"


def _sentences(
    pick: Candidate,
    ties: list[str],
    cost_16bit: float,
    cheaper: OpenSetting | None,
    alike: Sequence[Candidate],
) -> list[str]:
    share = _share(pick.cost, cost_16bit)
    tie_words = "cannot be told apart from it on this text"
    if _is_settled_good(pick):
        sure = " whose verdict is settled" if cheaper else ""
        sentence = f"`{pick.name}` is the cheapest good setting scored{sure}: {share}"
        tie_words = "costs the same" if len(ties) == 1 else "cost the same"
    elif pick.verdict == "good":
        sentence = f"No setting scored is settled as good; the best is {_named(pick)}: {share}"
    else:
        sentence = f"No setting scored is good; the best is {_named(pick)}: {share}"
    sentences = [sentence]
    if ties:
        sentences.append(f"{', '.join(f'`{name}`' for name in ties)} {tie_words}")
    if pick.is_open:
        sentences.append(f"This verdict is open: {pick.settling}")
    if cheaper is not None and cheaper.setting not in {c.name for c in alike}:
        sentences.append(
            f"`{cheaper.setting}` ({cheaper.verdict_shown}) is cheaper and open: {cheaper.settling}"
        )
    for candidate in alike:
        is_cheapest = cheaper is not None and candidate.name == cheaper.setting
        sentences.append(_alike(candidate, pick, candidate.settling if is_cheapest else ""))
    return sentences


def _alike(candidate: Candidate, pick: Candidate, settling: str) -> str:
    """Why a cheaper setting that shares a letter with the recommended one is not recommended."""
    if candidate.verdict == "good":
        why = "is not settled as good" + (f": {settling}" if settling else "")
    elif candidate.verdict != pick.verdict:
        why = f"is {candidate.verdict}"
    else:
        why = "drifts more than the best"
    return f"{_named(candidate)} costs less and cannot be told apart from it, but {why}"


def _apart(found: LeftOut) -> str:
    names = ", ".join(f"`{name}`" for name in found.settings)
    verb = "is" if len(found.settings) == 1 else "are"
    return f"{names} {verb} not ranked with it: {', '.join(found.differs)}"
