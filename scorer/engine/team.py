"""What rank 0 needs of the ranks of its run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from scorer.common.errors import RankLost


class Exchanging(Protocol):
    """An exchange that is under way."""

    def is_done(self) -> bool:
        """Whether its messages are here, or it has failed."""

    def result(self) -> list[bytes]:
        """Wait for the messages of all ranks, in their order.

        Raises:
            RankLost: One is gone, or does not come.
        """


class Team(Protocol):
    """The ranks of a run in this process, which is rank 0."""

    @property
    def names(self) -> Sequence[str]:
        """Each rank and its machine, for messages: ``rank 1 (10.0.0.2)``."""

    @property
    def is_over_host(self) -> bool:
        """Whether exchanges leave the GPUs alone."""

    @property
    def gathered(self) -> int:
        """Bytes of all messages so far."""

    def exchange(self, message: bytes) -> list[bytes]:
        """Give a message; get those of all ranks in their order.

        Raises:
            RankLost: One is gone, or does not come.
        """

    def begin(self, message: bytes) -> Exchanging:
        """Begin an exchange, which goes on while this thread computes."""

    @property
    def lost(self) -> RankLost | None:
        """What is known to have ended an exchange that is under way and may never be done."""

    def met(self, hosts: Sequence[str]) -> None:
        """Note the machine of every rank."""

    def round_took(self, seconds: float) -> None:
        """Note a round: waits are measured by the longest."""

    @property
    def group(self) -> Any:
        """MLX's group of the ranks."""

    def computing(self) -> AbstractContextManager[None]:
        """Passes inside the block wait for the other ranks, too, and are watched."""
