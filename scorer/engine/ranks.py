"""A run shared by several ranks, as rank 0 sees it.

Rank 0 prepares the run as it would alone, and the others prepare the same model with the tokens
that it sends them (:mod:`scorer.engine.rank_follower`). Then it deals batches in rounds
(:mod:`scorer.engine.rank_shares`): each rank scores its share with a loop of its own, one exchange
gathers what came of all, and the outcomes go on in the order of the grid, as if one process had
scored them. What to score, when to stop and which settings to give up is decided here alone,
between two rounds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from collections.abc import Callable, Mapping, Sequence

from scorer.common.device_kind import DeviceKind
from scorer.common.error_values import error_of
from scorer.common.errors import InputError, RankLost
from scorer.device.backend import Backend
from scorer.device.pipeline import rounds_ahead
from scorer.engine.outcomes import (
    BatchScorer,
)
from scorer.engine.prepared import Prepared
from scorer.engine.rank_facts import difference, facts_of
from scorer.engine.rank_lockstep import Lockstep
from scorer.engine.rank_rounds import Rounds
from scorer.engine.rank_shares import Rates, first_batches
from scorer.engine.rank_wire import from_message, to_message
from scorer.engine.team import Team
from scorer.engine.text_process import TextProcess
from scorer.fit.pass_size import PassSize
from scorer.lanes.base import Lane
from scorer.lm.sharding import Sharding
from scorer.models.custom_code import Consent, consent_to_json
from scorer.spec.job import Job
from scorer.spec.settings.weights import weights_of


class SharedRun:
    """A run that several ranks share.

    Args:
        team: The ranks; this process is rank 0.
        shard: ``tensor`` or ``pipeline`` where they hold one model together; "" where each has its
            own.

    Attributes:
        beside: Ranks on this machine, this process included.
        sharding: How the model is split; None where each rank has its own.
    """

    def __init__(self, team: Team, shard: str = "") -> None:
        self.team = team
        self.sharding = Sharding(shard, team.group, len(team.names)) if shard else None
        self.beside = 1
        self.stop: Callable[[], bool] = lambda: False
        self._rates = Rates(len(team.names), 1)
        self._device: DeviceKind = "cpu"
        self._on_one_machine = False

    def begin(
        self,
        job: Job,
        *,
        grid: int | None,
        chunks: Sequence[int] | None,
        allow_custom_code: Consent,
        device: DeviceKind,
    ) -> None:
        """Let the others prepare a job.

        Args:
            job: The job.
            grid: As of :class:`~scorer.engine.preparation.Preparation`, as are the following.
            chunks: See there.
            allow_custom_code: See there.
            device: What computes.

        Raises:
            InputError: The job is none that ranks can share.
            RankLost: A rank is gone.
        """
        if self.sharding is not None and any(map(weights_of, job.settings)):
            raise InputError(
                "sets of weights are not split over ranks",
                "leave out --shard, or score KV settings",
            )
        host = socket.gethostname()
        request = {
            "job": job.to_json(),
            "grid": grid,
            "chunks": None if chunks is None else list(chunks),
            "allow_custom_code": consent_to_json(allow_custom_code),
            "host": host,
            "shard": "" if self.sharding is None else self.sharding.kind,
        }
        replies = self.team.exchange(to_message(request))
        hosts = [host, *(from_message(reply)[0]["host"] for reply in replies[1:])]
        self.team.met(hosts)
        self.beside = hosts.count(host)
        self._on_one_machine = self.beside == len(hosts)
        self._device = device
        first = first_batches(device, alike=self._on_one_machine)
        self._rates = Rates(len(hosts), first, alike=self._on_one_machine, tapered=device != "cpu")

    def send_text(self, text: TextProcess) -> None:
        """Send the others the tokens of the text, once this process has loaded the model.

        Raises:
            QfidError: The text cannot be scored.
        """
        values, data = text.tokens().to_parts()
        self.team.exchange(to_message(values, data))

    def agreed(self, prepared: Prepared, backend: Backend) -> Prepared:
        """The job, with passes that fit all ranks, once all are seen to compute the same.

        Raises:
            InputError: One has another model, text, version or arithmetic, or could not prepare.
            RankLost: One is gone.
        """
        if prepared.in_turns:
            raise InputError(
                "ranks do not share sets of weights that take turns in memory",
                "leave out --ranks, or score fewer weights at once",
            )
        own = facts_of(prepared, backend, hashed=not self._on_one_machine)
        replies = self.team.exchange(to_message(own))
        size = prepared.size
        for name, reply in list(zip(self.team.names, replies, strict=True))[1:]:
            found, _ = from_message(reply)
            if "error" in found:
                error = error_of(found)
                # Its class decides the exit code.
                error.message = f"{name}: {error.message}"
                raise error
            differences = difference(own, found)
            if differences:
                raise InputError(
                    f"{name} does not compute what rank 0 does: {'; '.join(differences)}",
                    "give all ranks the same model, versions and kind of machine",
                )
            batch, tile_bytes = found["size"]
            if (batch, tile_bytes) < (size.batch, size.tile_bytes):
                size = dataclasses.replace(size, batch=batch, tile_bytes=tile_bytes)
        self._rates.begin(self.team.gathered)
        return dataclasses.replace(prepared, size=size)

    def spread(self, inner: BatchScorer, size: PassSize, lanes: Mapping[str, Lane]) -> BatchScorer:
        """Share what is scored with the other ranks.

        Args:
            inner: Scores the share of this process.
            size: How much goes through a model at once.
            lanes: Lanes of this process by key.
        """
        if self.sharding is not None:
            return Lockstep(self.team, inner, size, lanes, self.stop, self.sharding.kind)
        busy_device = self._device != "cpu"
        ahead = rounds_ahead(over_host=self.team.is_over_host)
        return Rounds(
            self.team, self._rates, inner, size, lanes, busy_device=busy_device, ahead=ahead
        )

    def end(self) -> None:
        """Let the others end, after the last round; all that they scored is here."""
        with contextlib.suppress(RankLost):
            self.team.exchange(to_message({"end": True}))
