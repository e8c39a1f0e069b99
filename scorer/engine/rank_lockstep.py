"""Ranks that hold a model together: each scores every batch, in lockstep.

A forward pass sums over the ranks in each layer, so all have to run the same passes in the same
order. Every rank has all logits and reduces them; the figures are those of rank 0. Nothing is
decided within a batch: whether to stop is asked between two, and a setting is given up where any
rank gives it up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from scorer.common.error_text import first_line
from scorer.common.errors import Interrupted, WillNotFit
from scorer.common.out_of_memory import is_out_of_memory
from scorer.engine.outcomes import BatchScorer, LaneFailed, Outcome, PassDone, Scored, ScoreTask
from scorer.engine.rank_wire import Share, outcomes_of, to_message
from scorer.engine.team import Team
from scorer.fit.pass_size import PassSize
from scorer.lanes.base import Lane
from scorer.runs.engagement import Engagement, SideEngagement
from scorer.spec.ranks import TENSOR

_NOTHING_NEXT = to_message({"shares": []})

LINK = "connection to a peer was lost"
"""What MLX says of a ring whose rank is gone."""


class Lockstep:
    """Scores batches on all ranks at once.

    Args:
        team: The ranks.
        inner: Scores a batch in this process; it is never asked to stop.
        size: How much goes through the model at once.
        lanes: Lanes of this process by key.
        stop: Asked between two batches; True interrupts the run.
        kind: ``tensor`` or ``pipeline``: how the model is split.
    """

    def __init__(
        self,
        team: Team,
        inner: BatchScorer,
        size: PassSize,
        lanes: Mapping[str, Lane],
        stop: Callable[[], bool],
        kind: str,
    ) -> None:
        self._team = team
        self._inner = inner
        self._size = size
        self._lanes = lanes
        self._stop = stop
        self._kind = kind
        self.at_once = 1

    def score(self, tasks: Iterable[ScoreTask]) -> Iterator[Outcome]:
        """Score batches; the outcomes of each come once every rank is done with it."""
        for task in tasks:
            if self._stop():
                raise Interrupted("stopped")
            share = Share.of([task], self._size).to_json()
            ranks = len(self._team.names)
            self._team.exchange(to_message({"shares": [share] * ranks}))
            found: list[Scored | LaneFailed] = []
            with self._team.computing():
                try:
                    for outcome in self._inner.score([task]):
                        if isinstance(outcome, PassDone):
                            yield outcome
                        elif isinstance(outcome, Scored | LaneFailed):
                            found.append(outcome)
                except (MemoryError, RuntimeError, ValueError) as error:
                    if LINK in str(error):
                        # The exchange says who is gone.
                        self._team.exchange(_NOTHING_NEXT)
                    if is_out_of_memory(error):
                        # The other ranks are in the middle of a pass: no smaller one is tried.
                        raise WillNotFit(
                            f"memory ran out on rank 0: {first_line(error)}",
                            "everything scored is saved; score with --batch 1 or shorter chunks, "
                            "or with more ranks",
                        ) from error
                    raise
            yield from self._agreed(task, found)

    def _agreed(self, task: ScoreTask, found: list[Scored | LaneFailed]) -> Iterator[Outcome]:
        """The outcomes of this process, as far as all ranks have them."""
        replies = self._team.exchange(_NOTHING_NEXT)
        failed = {outcome.lane.key for outcome in found if isinstance(outcome, LaneFailed)}
        others: dict[str, list[Engagement]] = {}
        for reply in replies[1:]:
            for outcome in outcomes_of(reply, [task], self._lanes):
                key = outcome.lane.key
                if isinstance(outcome, Scored):
                    if isinstance(outcome.findings, Engagement):
                        others.setdefault(key, []).append(outcome.findings)
                elif key not in failed:
                    failed.add(key)
                    yield outcome
        for own in found:
            if isinstance(own, LaneFailed):
                yield own
            elif own.lane.key not in failed:
                yield self._whole(own, others.get(own.lane.key, []))

    def _whole(self, scored: Scored, others: list[Engagement]) -> Scored:
        """What is scored, with the findings of all ranks."""
        own = scored.findings
        # The others send theirs once.
        if not isinstance(own, Engagement) or not others:
            return scored
        found = of_layers([*reversed(others), own])
        if self._kind == TENSOR:
            found = of_heads(own, len(others) + 1)
        return dataclasses.replace(scored, findings=found)


def of_heads(one: Engagement, ranks: int) -> Engagement:
    """What a pass quantized on ranks that have the same number of heads each."""
    sides = tuple(
        side
        if side.stored_bytes is None
        else dataclasses.replace(side, stored_bytes=side.stored_bytes * ranks)
        for side in one.sides
    )
    return dataclasses.replace(one, sides=sides)


def of_layers(parts: Sequence[Engagement]) -> Engagement:
    """What a pass quantized on ranks that have layers each, in the order of the layers."""
    sides: list[SideEngagement] = []
    skipped: list[tuple[str, str]] = []
    before = 0
    for part in parts:
        for side in part.sides:
            sides.append(dataclasses.replace(side, layer=_moved(side.layer, before)))
        skipped += [(_moved(layer, before), name) for layer, name in part.skipped]
        before += part.total
    return Engagement(tuple(sides), sum(part.quantized for part in parts), tuple(skipped))


def _moved(label: str, by: int) -> str:
    """The label of a cache, ``3`` or ``3.1``, behind so many others."""
    first, dot, rest = label.partition(".")
    return f"{int(first) + by}{dot}{rest}"
