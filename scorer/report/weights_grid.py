"""Weights beside KV settings: the grid of a run, what two parts do together, and which is guilty.

Pure functions of what is measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scorer.report.ranking import Pairs
from scorer.report.weights_parts import GridPart, Guilty, InteractionPart
from scorer.runs.facts import RunFacts
from scorer.spec.settings.base import Setting
from scorer.spec.settings.weights import WeightsSetting, cache_of, weights_of
from scorer.spec.thresholds import Thresholds, Verdict
from scorer.stats.interaction import interaction
from scorer.stats.summary_values import ChunkSums


def grid_of(settings: Sequence[Setting]) -> GridPart | None:
    """The grid of a run's settings, in their order; None where none has weights of its own."""
    if not any(isinstance(setting, WeightsSetting) for setting in settings):
        return None
    cell = {_place(setting): setting.key for setting in settings}
    weights = tuple(dict.fromkeys(("", *(down for down, _ in cell))))
    caches = tuple(dict.fromkeys(("", *(across for _, across in cell))))
    return GridPart(
        weights=weights,
        caches=caches,
        cells=tuple(tuple(cell.get((down, across)) for across in caches) for down in weights),
    )


def _place(setting: Setting) -> tuple[str, str]:
    source, cache = weights_of(setting), cache_of(setting)
    return "" if source is None else source.key, "" if cache is None else cache.key


def later_positions(settings: Sequence[Setting], facts: RunFacts) -> dict[str, set[int]]:
    """From which positions on weights alone are summed too: where a pair of theirs begins later.

    Args:
        settings: The settings of the run.
        facts: Of the run.

    Returns:
        Weights in notation to first positions.
    """
    found: dict[str, set[int]] = {}
    for setting in settings:
        if isinstance(setting, WeightsSetting) and setting.cache is not None:
            first = facts.first_position(setting)
            if first > facts.first_position(setting.alone):
                found.setdefault(setting.alone.key, set()).add(first)
    return found


def interactions_of(
    settings: Sequence[Setting],
    sums: Mapping[str, ChunkSums],
    later: Mapping[str, Mapping[int, ChunkSums]],
    verdicts: Mapping[str, Verdict],
    pairs: Pairs,
    facts: RunFacts,
    looks: int = 1,
) -> list[InteractionPart]:
    """What every scored pair does, whose two parts were scored too.

    Args:
        settings: The settings of the run.
        sums: Notation of a scored setting to its sums by chunk.
        later: Notation of weights alone to sums from a position on, see :func:`later_positions`.
        verdicts: Notation of a scored setting to its tier.
        pairs: Paired comparisons by two notations.
        facts: Of the run.
        looks: Planned looks of a run that stops by what it sees.
    """
    found = []
    for setting in settings:
        if not isinstance(setting, WeightsSetting) or setting.cache is None:
            continue
        names = setting.key, setting.alone.key, setting.cache.key
        if not all(name in sums for name in names):
            continue
        # The positions that the pair is scored on: all but those before its start.
        first = facts.first_position(setting)
        own = {names[1]: later[names[1]][first]} if first in later.get(names[1], ()) else {}
        since = first if own else 0
        part = _interaction(names, {**sums, **own}, verdicts, pairs, facts, looks, since)
        if part is not None:
            found.append(part)
    return found


def _interaction(
    names: tuple[str, str, str],
    sums: Mapping[str, ChunkSums],
    verdicts: Mapping[str, Verdict],
    pairs: Pairs,
    facts: RunFacts,
    looks: int,
    first: int,
) -> InteractionPart | None:
    joint, weights, cache = names
    made = interaction(sums[joint], sums[weights], sums[cache], facts.documents, looks)
    if made is None:
        return None
    bounds = facts.job.thresholds
    common = set.intersection(*(set(sums[name].chunks) for name in names))
    kl = {name: _mean(sums[name], common) for name in names}
    misleads = None
    if made.differs is not None:
        misleads = made.differs and _tier(made.added, bounds) != _tier(made.joint, bounds)
    guilty = _guilty(weights, cache, kl, pairs) if verdicts.get(joint) == "bad" else None
    return InteractionPart(
        setting=joint,
        weights=weights,
        cache=cache,
        joint_kl=kl[joint],
        weights_kl=kl[weights],
        cache_kl=kl[cache],
        interaction=made.mean,
        interval=made.interval,
        misleads=misleads,
        unit=made.unit,
        n_chunks=made.n_chunks,
        label=made.label,
        guilty=guilty,
        sentences=tuple(
            _sentences(names, made.joint, made.added, made.differs, bounds, guilty, first)
        ),
    )


def _mean(sums: ChunkSums, chunks: set[int]) -> float:
    parts = [
        (kl, size)
        for chunk, kl, size in zip(sums.chunks, sums.kl, sums.sizes, strict=True)
        if chunk in chunks
    ]
    total = sum(size for _, size in parts)
    return sum(kl for kl, _ in parts) / total if total else float("nan")


def _tier(kl_mean: float, bounds: Thresholds) -> Verdict:
    """The tier that a KL mean reaches by itself."""
    if kl_mean <= bounds.good.kl_mean:
        return "good"
    return "marginal" if kl_mean <= bounds.marginal.kl_mean else "bad"


def _guilty(weights: str, cache: str, kl: Mapping[str, float], pairs: Pairs) -> Guilty:
    """The part with the larger single drift, where the two are told apart."""
    for names in ((weights, cache), (cache, weights)):
        if (pair := pairs.get(names)) is not None:
            if pair.told_apart:
                return "weights" if kl[weights] > kl[cache] else "cache"
            break
    return "undecided"


def _sentences(
    names: tuple[str, str, str],
    joint_kl: float,
    added: float,
    differs: bool | None,
    bounds: Thresholds,
    guilty: Guilty | None,
    first: int,
) -> list[str]:
    joint, weights, cache = (f"`{name}`" for name in names)
    where = f"from position {first} on, " if first else ""
    said = f"{where}adding the drifts of {weights} and {cache} gives {added:.4g} nats"
    said += ", together they cost"
    sentences = [f"{joint}: {said} {joint_kl:.4g}"]
    if differs is None:
        sentences.append("there is no interval to tell the two apart")
    elif not differs:
        sentences.append("the two are not told apart, so that adding would not have misled here")
    elif _tier(added, bounds) == _tier(joint_kl, bounds):
        sentences.append("they differ, but the sum reaches the same tier of the KL mean")
    else:
        sentences.append(
            f"adding would have misled: the sum is {_tier(added, bounds)} by its KL mean and the "
            f"pair {_tier(joint_kl, bounds)}"
        )
    if guilty == "undecided":
        sentences.append(f"which of the two makes {joint} bad is undecided")
    elif guilty is not None:
        part = f"weights {weights}" if guilty == "weights" else f"KV cache {cache}"
        sentences.append(f"the {part} drift{'s' * (guilty == 'cache')} more")
    return sentences
