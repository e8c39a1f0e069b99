"""What to run in a given memory: which cells fit, the frontier, one choice, and what changes it.

A cell is one precision of the weights with one way to store the KV cache. Pure functions without
mlx: a grid of 10 × 10 cells takes a few milliseconds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, pairwise
from typing import Literal

from scorer.common.device_kind import DeviceKind
from scorer.fit.prefill_peak import DEFAULT_STEP, PrefillShape
from scorer.fit.total_bytes import Prices, TotalBytes
from scorer.spec.amounts import K
from scorer.spec.geometry import KVGeometry
from scorer.spec.settings.kv import KVSetting
from scorer.spec.thresholds import TIERS, Verdict

STEPS = (DEFAULT_STEP, 1024, 512, 256, 128, 64)
"""The prefill steps that are tried, the fastest first."""

CONTEXTS = tuple(n * K for n in (4, 8, 16, 32, 64, 128))
"""The contexts of the table, tokens."""

# Contexts that are looked for are multiples of this many tokens: buffers of caches grow so.
_CONTEXT_STEP = 256


@dataclass(frozen=True, slots=True)
class Cell:
    """One precision of the weights with one way to store the KV cache.

    Attributes:
        name: How it is called; unique in a grid.
        weights_bytes: Bytes of the weights as stored.
        kv: How the KV cache is stored; None for 16 bit.
        kl_mean: Mean KL, nats; None where it was not scored.
        verdict: Its verdict; None where it was not scored.
        is_open: Whether the verdict is not settled.
        runnable: Whether mlx-lm runs it, or another runtime that is known.
    """

    name: str
    weights_bytes: int
    kv: KVSetting | None = None
    kl_mean: float | None = None
    verdict: Verdict | None = None
    is_open: bool = False
    runnable: bool = True

    @property
    def is_scored(self) -> bool:
        """Whether it has a KL to be compared by."""
        return self.kl_mean is not None and self.verdict is not None


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where a model is to run.

    Attributes:
        geometry: KV caches of the model.
        shape: Sizes of the model.
        memory: Bytes that it may take.
        context: Tokens of a sequence.
        parallel: Sequences whose caches are held.
        device: The device.
        step: The prefill step; None to choose it.
    """

    geometry: KVGeometry
    shape: PrefillShape
    memory: int
    context: int
    parallel: int = 1
    device: DeviceKind = "metal"
    step: int | None = None

    def prices(self) -> Prices:
        """What settings take there; kept, since another memory changes none of it."""
        return _prices(self.geometry, self.shape, self.context, self.parallel, self.device)


@lru_cache(maxsize=256)
def _prices(
    geometry: KVGeometry, shape: PrefillShape, context: int, parallel: int, device: DeviceKind
) -> Prices:
    return Prices(geometry, shape, context, parallel, device)


@dataclass(frozen=True, slots=True)
class Placed:
    """A cell in a deployment.

    Attributes:
        cell: The cell.
        bytes: Its bytes at ``step``.
        step: The prefill step that is counted on.
        fits: Whether it fits in the memory.
        least: Total bytes at the step at which it takes the least. Cells are ranked by these: one
            that fits at a large step is no dearer than one that fits only at a small one.
        on_frontier: Whether it was scored and no other cell takes fewer bytes at a lower KL.
    """

    cell: Cell
    bytes: TotalBytes
    step: int
    fits: bool
    least: int
    on_frontier: bool = False


Beats = Callable[[Cell, Cell], bool]
"""Whether the first is told apart from the second on the same chunks, and has the lower KL."""

Reason = Literal[
    "cheapest good", "best that fits", "nothing fits", "not scored what fits", "not run by mlx-lm"
]
"""Why a cell was picked: the first two; or why none was."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What to run.

    Attributes:
        deployment: Where.
        placed: Every cell, in the order given.
        pick: The choice; None where nothing fits that was scored and that mlx-lm runs.
        reason: Why it is that one, or why there is none.
        tied_with: Names of cells that fit and cannot be told apart from the pick, where it is the
            best that fits.
        smallest: The cell that takes the least, at its best step: what would fit first.
        longest_context: Where nothing fits, the most tokens at which ``smallest`` would; None if
            there is no such number, and where something fits.
    """

    deployment: Deployment
    placed: tuple[Placed, ...]
    pick: Placed | None
    reason: Reason
    tied_with: tuple[str, ...]
    smallest: Placed | None
    longest_context: int | None


def best_step(cell: Cell, deployment: Deployment, prices: Prices | None = None) -> Placed:
    """A cell at its best prefill step.

    That is the one asked for, else the largest of :data:`STEPS` at which the cell fits. A quantized
    cache takes one whose peak is not above that of a 16-bit cache at the default step, if there is
    one: its attention writes scores out, which can take more than the cache saves. A cell that fits
    at no step has the one at which it takes the least.

    Args:
        cell: The cell.
        deployment: Where it is to run.
        prices: Those of the deployment, for many cells.
    """
    prices = prices or deployment.prices()

    def bytes_at(step: int, kv: KVSetting | None = cell.kv) -> TotalBytes:
        return prices.bytes_of(cell.weights_bytes, kv, step)

    if deployment.step is not None:
        found = bytes_at(deployment.step)
        fits = found.total <= deployment.memory
        return Placed(cell, found, deployment.step, fits, found.total)
    tried = prices.beyond_weights(cell.kv, _steps(deployment.context))
    room = deployment.memory - cell.weights_bytes
    smallest = min(tried, key=lambda item: item[1])
    least = cell.weights_bytes + smallest[1]
    if smallest[1] > room:
        return Placed(cell, bytes_at(smallest[0]), smallest[0], False, least)
    fitting = [(step, peak) for step, beyond, peak in tried if beyond <= room]
    plain = bytes_at(tried[0][0], None).peak
    quiet = (step for step, peak in fitting if cell.kv is None or peak <= plain)
    step = next(quiet, fitting[-1][0])
    return Placed(cell, bytes_at(step), step, True, least)


@lru_cache(maxsize=256)
def _steps(context: int) -> tuple[int, ...]:
    """The steps worth a try: the default, and smaller ones that cut the prompt."""
    return (DEFAULT_STEP, *(step for step in STEPS[1:] if step < context - 1))


def fits_at_some_step(cell: Cell, deployment: Deployment) -> bool:
    """Whether a cell fits, for pruning what need not be scored."""
    return best_step(cell, deployment).fits


def frontier(placed: Sequence[Placed]) -> list[Placed]:
    """The scored cells that no other beats on total bytes and KL, whether they fit or not.

    Returns:
        In order of their bytes, ascending.
    """
    kept: list[Placed] = []
    able = [p for p in placed if p.cell.is_scored]
    for found in sorted(able, key=lambda p: (p.least, _kl(p))):
        if not kept or _kl(found) < _kl(kept[-1]):
            kept.append(found)
    return kept


def _kl(placed: Placed) -> float:
    kl = placed.cell.kl_mean
    return float("inf") if kl is None or kl != kl else kl


def choose(cells: Sequence[Cell], deployment: Deployment, beats: Beats) -> Choice:
    """Choose what to run: the cheapest settled good cell that fits, else the best that fits.

    The best is the cheapest of those in the highest tier that are not told apart from the one with
    the lowest KL. Cells that mlx-lm cannot run are placed but never picked.

    Args:
        cells: All cells, scored or not.
        deployment: Where it is to run.
        beats: Whether one cell is told apart from another as better.
    """
    prices = deployment.prices()
    placed = [best_step(cell, deployment, prices) for cell in cells]
    edge = {p.cell.name for p in frontier(placed)}
    placed = [dataclasses.replace(p, on_frontier=p.cell.name in edge) for p in placed]
    smallest = min(placed, key=lambda p: p.least, default=None)
    scored = [p for p in placed if p.fits and p.cell.is_scored]
    pool = [p for p in scored if p.cell.runnable]
    if pool:
        pick, reason, ties = _pick(pool, beats)
        return Choice(deployment, tuple(placed), pick, reason, ties, smallest, None)
    longest = None
    if scored:
        reason = "not run by mlx-lm"
    elif any(p.fits for p in placed):
        reason = "not scored what fits"
    else:
        reason = "nothing fits"
        longest = longest_context(smallest.cell, deployment) if smallest else None
    return Choice(deployment, tuple(placed), None, reason, (), smallest, longest)


def _pick(pool: Sequence[Placed], beats: Beats) -> tuple[Placed, Reason, tuple[str, ...]]:
    good = [p for p in pool if p.cell.verdict == "good" and not p.cell.is_open]
    if good:
        return min(good, key=lambda p: (p.least, _kl(p))), "cheapest good", ()
    top = max(_tier(p) for p in pool)
    tier = [p for p in pool if _tier(p) == top]
    lowest = min(tier, key=lambda p: (_kl(p), p.least))
    near = [p for p in tier if p is lowest or not beats(lowest.cell, p.cell)]
    pick = min(near, key=lambda p: (p.least, _kl(p)))
    return pick, "best that fits", tuple(p.cell.name for p in near if p is not pick)


def _tier(placed: Placed) -> int:
    verdict = placed.cell.verdict
    return TIERS.index(verdict) if verdict is not None else -1


def longest_context(cell: Cell, deployment: Deployment) -> int | None:
    """The most tokens at which a cell fits, a multiple of 256, up to four times the context asked.

    Returns:
        None if not even 256 tokens fit.
    """

    def fits(steps: int) -> bool:
        at = dataclasses.replace(deployment, context=steps * _CONTEXT_STEP)
        return best_step(cell, at).fits

    low, high = 0, max(1, 4 * deployment.context // _CONTEXT_STEP)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low * _CONTEXT_STEP or None


@dataclass(frozen=True, slots=True)
class ContextRow:
    """Neighbouring contexts of the table at which the same is chosen.

    Attributes:
        contexts: The contexts, ascending.
        name: Name of the cell that is chosen; None where nothing fits.
        steps: The prefill step at each context; empty where nothing fits.
        totals: The total bytes at each context, likewise.
        until: The last context at which it is chosen, to 256 tokens, where the next row has
            another.
    """

    contexts: tuple[int, ...]
    name: str | None
    steps: tuple[int, ...]
    totals: tuple[int, ...]
    until: int | None = None


def over_contexts(
    cells: Sequence[Cell],
    deployment: Deployment,
    beats: Beats,
    contexts: Sequence[int] = CONTEXTS,
) -> tuple[ContextRow, ...]:
    """What is chosen at each context; neighbours with the same cell are one row.

    Takes tens of milliseconds for 10 × 10 cells: an app computes it in a thread.

    Args:
        cells: All cells.
        deployment: Where; its context does not matter.
        beats: As of :func:`choose`.
        contexts: Ascending, tokens.
    """
    picks = [(context, _picked(cells, deployment, beats, context)) for context in contexts]
    rows: list[ContextRow] = []
    for _, run in groupby(picks, key=lambda item: _name(item[1])):
        members = list(run)
        found = [pick for _, pick in members if pick is not None]
        rows.append(
            ContextRow(
                tuple(context for context, _ in members),
                _name(members[0][1]),
                tuple(pick.step for pick in found),
                tuple(pick.bytes.total for pick in found),
            )
        )
    for index, (row, following) in enumerate(pairwise(rows)):
        low, high = row.contexts[-1] // _CONTEXT_STEP, following.contexts[0] // _CONTEXT_STEP
        while high - low > 1:
            middle = (low + high) // 2
            pick = _picked(cells, deployment, beats, middle * _CONTEXT_STEP)
            low, high = (middle, high) if _name(pick) == row.name else (low, middle)
        until = max(low * _CONTEXT_STEP, row.contexts[-1])
        rows[index] = dataclasses.replace(row, until=until)
    return tuple(rows)


def _picked(
    cells: Sequence[Cell], deployment: Deployment, beats: Beats, context: int
) -> Placed | None:
    """The pick of :func:`choose`, without the frontier and the longest context."""
    at = dataclasses.replace(deployment, context=context)
    prices = at.prices()
    able = (cell for cell in cells if cell.is_scored and cell.runnable)
    pool = [placed for cell in able if (placed := best_step(cell, at, prices)).fits]
    return _pick(pool, beats)[0] if pool else None


def _name(pick: Placed | None) -> str | None:
    return None if pick is None else pick.cell.name
