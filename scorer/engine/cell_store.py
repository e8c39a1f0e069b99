"""Stores scored chunks of a run, and tells what they come to so far."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scorer.runs.role_runs import counted_positions
from scorer.spec.events import Event
from scorer.stats.chunk_event import chunk_event
from scorer.stats.positions import Positions
from scorer.stats.running_p99 import RunningP99
from scorer.text.chunks import ChunkedCorpus
from scorer.text.equal_chunks import equal_chunks

if TYPE_CHECKING:
    from scorer.report.from_run import Batches
    from scorer.runs.positions_file import PositionsWriter
    from scorer.runs.positions_format import StoredChunk


class CellStore:
    """Stores what is added to it, all that waits with one wait for the disk.

    Args:
        writer: The run's positions file, open.
        corpus: The chunks of the run.
        roles: The roles of a chat text that count; empty for all positions.
    """

    def __init__(
        self, writer: PositionsWriter, corpus: ChunkedCorpus, roles: tuple[str, ...]
    ) -> None:
        self._writer = writer
        self._corpus = corpus
        self._roles = roles
        self._equal = equal_chunks(corpus.ids, corpus.indices)
        self._p99: dict[str, RunningP99] = {}
        # Computations, their chunks, and the settings that these are for. Added to by one thread,
        # taken from by another.
        self._waiting: deque[tuple[str, Sequence[StoredChunk], Sequence[str]]] = deque()

    def go_on_from(self, stored: Batches) -> None:
        """Take in what the run holds already: the events count it in.

        Args:
            stored: Its batches, by the setting they are stored under.
        """
        for name, batches in stored.items():
            for positions, _ in batches:
                self._so_far(name, positions)

    def add(self, name: str, chunks: Sequence[StoredChunk], settings: Sequence[str]) -> None:
        """Let chunks wait to be stored.

        Args:
            name: Key of the computation.
            chunks: Its chunks.
            settings: The settings that the computation is for.
        """
        self._waiting.append((name, chunks, settings))

    def store(self) -> list[Event]:
        """Store all that waits; give an event for each chunk and setting.

        Raises:
            QfidError: It cannot be stored.
        """
        waiting = []
        while self._waiting:
            waiting.append(self._waiting.popleft())
        self._writer.append_all([chunk for _, chunks, _ in waiting for chunk in chunks])
        events: list[Event] = []
        for name, chunks, settings in waiting:
            for chunk in chunks:
                positions = counted_positions(chunk.positions, chunk.facts.roles, self._roles)
                if not len(positions):
                    # A start that comes after all that counts in the chunk.
                    continue
                so_far = self._so_far(name, positions)
                whole = len(positions) == len(chunk.positions)
                events += [
                    chunk_event(setting, positions, chunk.facts.seconds, so_far, whole=whole)
                    for setting in settings
                ]
        return events

    def _so_far(self, name: str, positions: Positions) -> RunningP99:
        """The positions of a computation until now, these included."""
        if name not in self._p99:
            # Of roles that count, another chunk may hold more positions.
            every = self._corpus.roles is None
            most = len(positions) if every else self._corpus.chunk_length - 1
            self._p99[name] = RunningP99(most * len(self._corpus.indices))
        found = self._p99[name]
        if int(positions.chunk[0]) not in self._equal:
            found.add(positions.kl)
        return found
