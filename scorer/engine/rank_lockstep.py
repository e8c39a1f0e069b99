"""Ranks that hold a model together: each scores every batch, in lockstep.

A forward pass sums over the ranks in each layer, so all have to run the same passes in the same
order. Every rank has all logits and reduces them; the figures are those of rank 0. Nothing is
decided within a batch: whether to stop is asked between two, and a setting is given up where any
rank gives it up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping

from scorer.common.error_text import first_line
from scorer.common.errors import Interrupted, WillNotFit
from scorer.common.out_of_memory import is_out_of_memory
from scorer.engine.outcomes import BatchScorer, LaneFailed, Outcome, PassDone, Scored, ScoreTask
from scorer.engine.rank_wire import Share, outcomes_of, to_message
from scorer.engine.team import Team
from scorer.fit.pass_size import PassSize
from scorer.lanes.base import Lane
from scorer.runs.engagement import Engagement

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
    """

    def __init__(
        self,
        team: Team,
        inner: BatchScorer,
        size: PassSize,
        lanes: Mapping[str, Lane],
        stop: Callable[[], bool],
    ) -> None:
        self._team = team
        self._inner = inner
        self._size = size
        self._lanes = lanes
        self._stop = stop

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
                        self._team.exchange(b"")
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
        replies = self._team.exchange(b"")
        failed = {outcome.lane.key for outcome in found if isinstance(outcome, LaneFailed)}
        for reply in replies[1:]:
            for outcome in outcomes_of(reply, [task], self._lanes):
                if isinstance(outcome, LaneFailed) and outcome.lane.key not in failed:
                    failed.add(outcome.lane.key)
                    yield outcome
        for own in found:
            if isinstance(own, LaneFailed):
                yield own
            elif own.lane.key not in failed:
                yield self._whole(own)

    def _whole(self, scored: Scored) -> Scored:
        """What is scored, with the bytes of all ranks' heads."""
        findings = scored.findings
        if not isinstance(findings, Engagement):
            return scored
        ranks = len(self._team.names)
        sides = tuple(
            side
            if side.stored_bytes is None
            else dataclasses.replace(side, stored_bytes=side.stored_bytes * ranks)
            for side in findings.sides
        )
        return dataclasses.replace(scored, findings=dataclasses.replace(findings, sides=sides))
