"""A rank that holds no saved run: prepares what rank 0 asks for, and scores what it deals.

It says nothing but in exchanges, and decides nothing: what went wrong is told to rank 0.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from scorer.common.bounded_process import Asked, nobody
from scorer.device.backend import Backend
from scorer.device.buffer_cache import keeping_buffers
from scorer.device.memory_watch import MemoryWatch
from scorer.device.ranks import LinkLost, RankGroup
from scorer.engine.batch_scorers import Scoring, batch_scorer
from scorer.engine.dealt_shares import DealtShares, OwnShares
from scorer.engine.outcomes import LaneFailed, Scored, ScoreTask
from scorer.engine.own_kernels import OwnKernels
from scorer.engine.preparation import Preparation
from scorer.engine.prepared import Prepared
from scorer.engine.rank_facts import facts_of
from scorer.engine.rank_wire import (
    Share,
    failure_values,
    from_message,
    outcomes_message,
    to_message,
)
from scorer.engine.text_process import TextProcess
from scorer.engine.tiles import Batch
from scorer.fit.memory_need import KEPT_BUFFERS
from scorer.fit.pass_size import PassSize
from scorer.lanes.noise import SharingLane
from scorer.lm.sharding import Sharding
from scorer.metrics.reduce import Metrics
from scorer.models.custom_code import consent_from_json
from scorer.models.info import ModelInfo
from scorer.models.sizes import ModelSizes
from scorer.runs.chunk_plan import ChunkPlan
from scorer.spec.events import Event
from scorer.spec.job import Job
from scorer.text.tokenized import TokenizedSource


def follow(
    group: RankGroup, backend: Backend, watch: MemoryWatch, kernels: OwnKernels | None
) -> None:
    """Take part in a run until rank 0 ends it.

    Args:
        group: The ranks.
        backend: The device.
        watch: The memory of this machine; where it runs short, the share ends.
        kernels: Those of the job, being built; None where they are not yet.
    """
    hello = to_message({"host": socket.gethostname()})
    request, _ = from_message(group.exchange(hello)[0])
    if kernels is None:
        kernels = OwnKernels(Job.from_json(request["job"]), backend.kind)
    text = _SentText(group)
    here = bool(request["host"] == socket.gethostname())
    shard = request["shard"]
    if backend.kind == "cpu" and not shard:
        group.leave_cores()
    sharding = Sharding(shard, group.group, group.size) if shard else None
    preparation = _Preparation(request, backend, text, sharding, kernels, here=here)
    prepared: Prepared | None = None
    try:
        facts: dict[str, Any]
        try:
            for _ in preparation.steps():
                pass
            prepared = preparation.result
            assert prepared is not None
            facts = facts_of(prepared, backend, hashed=not here)
        except LinkLost:
            raise
        except Exception as error:
            if sharding is not None:
                # The others wait for this rank in their passes: its end tells them.
                raise
            facts = failure_values(error)
        if not text.came:
            text.receive()
        group.exchange(to_message(facts))
        if prepared is not None:
            _Follower(group, prepared, backend, watch).score()
        else:
            # Rank 0 ends the run.
            group.exchange(b"")
    finally:
        if prepared is not None:
            prepared.release()
        preparation.close()


class _SentText(TextProcess):
    """The tokens that rank 0 sends, in place of a process that reads the text."""

    def __init__(self, group: RankGroup) -> None:
        self._group = group
        self.came = False

    def wait(self, seconds: float | None, asked: Asked = nobody) -> bool:
        """Return False: the tokens come once the model is loaded."""
        return False

    def receive(self) -> bytes:
        """Take part in the exchange in which they come; the message."""
        self.came = True
        return self._group.exchange(b"")[0]

    def tokens(self, asked: Asked = nobody) -> TokenizedSource:
        """Wait for the tokens."""
        return TokenizedSource.from_parts(*from_message(self.receive()))

    def close(self) -> None:
        """Do nothing: there is no process."""


class _Preparation(Preparation):
    """Prepares a job whose text rank 0 reads."""

    def __init__(
        self,
        request: dict[str, Any],
        backend: Backend,
        text: TextProcess,
        sharding: Sharding | None,
        kernels: OwnKernels,
        *,
        here: bool,
    ) -> None:
        chunks = request["chunks"]
        super().__init__(
            replace(Job.from_json(request["job"]), max_chunks=None),
            backend,
            None,
            grid=request["grid"],
            # All of the text, in the order of rank 0: how many are scored it alone knows.
            chunks=ChunkPlan(None if chunks is None else tuple(chunks)),
            allow_custom_code=consent_from_json(request["allow_custom_code"]),
            text=text,
            before_passes=kernels.wait,
            sharding=sharding,
        )
        self._here = here

    def _begin_text(self, text: TextProcess, info: ModelInfo) -> Iterator[Event]:
        return iter(())

    def _fitting(self, info: ModelInfo, sizes: ModelSizes, wanted: PassSize) -> PassSize:
        # On one machine rank 0 has counted all of them; what others take by now counts twice here.
        return wanted if self._here else super()._fitting(info, sizes, wanted)


class _Follower:
    """Scores the shares of one rank."""

    def __init__(
        self, group: RankGroup, prepared: Prepared, backend: Backend, watch: MemoryWatch
    ) -> None:
        self._group = group
        self._prepared = prepared
        self._kind = backend.kind
        self._watch = watch
        self._metrics = Metrics.for_device(backend.kind)
        self._lanes: dict[str, SharingLane] = {lane.key: lane for lane in prepared.lanes()}
        indices = prepared.corpus.indices
        self._rows = {chunk: row for row, chunk in enumerate(indices)}
        self._with_findings: set[str] = set()

    def score(self) -> None:
        """Score share after share, until rank 0 has no more.

        Raises:
            LinkLost: Another rank is gone.
        """
        kept = self._prepared.size.workers * KEPT_BUFFERS if self._kind == "cpu" else 0
        with keeping_buffers(kept):
            if self._prepared.sharding:
                self._score_in_lockstep()
            else:
                self._score_as_dealt()

    def _score_in_lockstep(self) -> None:
        """Score what all ranks score.

        Ranks that hold a model together wait for each other in its passes: nothing is exchanged
        meanwhile. What came of one batch goes out as the next comes in.
        """
        reply = b""
        while True:
            command, _ = from_message(self._group.exchange(reply)[0])
            if "shares" not in command:
                return
            shares = command["shares"]
            reply = self._scored(Share.from_json(shares[self._group.rank])) if shares else b""

    def _score_as_dealt(self) -> None:
        """Score what is dealt while a thread exchanges."""
        dealt = DealtShares(self._group)
        while (first := dealt.next()) is not None:
            shares = OwnShares(first, dealt, self._task)
            error: Exception | None = None
            try:
                for outcome in self._outcomes(first.size, shares.tasks(), None):
                    shares.note(outcome)
            except Exception as caught:
                error = self._watch.short or caught
            shares.end(error)

    def _scored(self, share: Share) -> bytes:
        """The outcomes of a share, as a message."""
        tasks = [self._task(*each) for each in share.tasks]
        began = time.monotonic()
        found = list(self._outcomes(share.size, tasks, len(tasks)))
        seconds = time.monotonic() - began
        self._group.watch.round_took(seconds)
        return outcomes_message(found, tasks, seconds=seconds, error=None)

    def _outcomes(
        self, size: PassSize, tasks: Iterable[ScoreTask], count: int | None
    ) -> Iterator[Scored | LaneFailed]:
        """Score tasks.

        Args:
            size: How much goes through the model at once.
            tasks: The tasks.
            count: How many; None where there may be any number.
        """
        # What fits here has been said; with less memory rank 0 asks for less.
        workers = min(size.workers, self._prepared.size.workers)
        scoring = Scoring(
            self._prepared,
            None,
            self._lanes,
            self._metrics,
            self._kind,
            replace(size, workers=workers),
            self._prepared.job.noise_floor,
        )
        batches = workers if count is None else count
        for outcome in batch_scorer(scoring, self._stop, batches=batches).score(tasks):
            if isinstance(outcome, Scored):
                yield self._found_once(outcome)
            elif isinstance(outcome, LaneFailed):
                yield outcome

    def _stop(self) -> bool:
        """Whether memory runs short; ranks that hold a model together never stop in a batch."""
        return self._watch.short is not None and not self._prepared.sharding

    def _found_once(self, scored: Scored) -> Scored:
        """What is scored, with findings only where the lane's are not known yet: they are long.

        Where ranks hold a model together, rank 0 has the positions.
        """
        if self._prepared.sharding:
            scored = replace(scored, chunks=[])
        if scored.lane.key in self._with_findings:
            return replace(scored, findings=None)
        self._with_findings.add(scored.lane.key)
        return scored

    def _task(self, chunks: tuple[int, ...], lanes: tuple[str, ...]) -> ScoreTask:
        corpus = self._prepared.corpus
        first = self._rows[chunks[0]]
        rows = slice(first, first + len(chunks))
        batch = Batch(chunks, corpus.ids[rows], corpus.scored_from, corpus.counted(rows))
        return ScoreTask(batch, [self._lanes[key] for key in lanes])
