"""Sets of weights that take turns in memory, where they do not fit together.

The first turn is the reference's: it scores the settings that run its own weights, and keeps its
final hidden states on disk for all others. Then its layers are freed, only what makes logits of
states stays, and one set of weights after the other is loaded.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import mlx.core as mx

from scorer.common.error_text import named_line
from scorer.common.errors import Interrupted, QfidError
from scorer.common.out_of_memory import is_out_of_memory
from scorer.device.memory import memory_in_use
from scorer.lanes.kept_reference import KeptReference, check_room
from scorer.spec.events import Event, Loading, Progress

if TYPE_CHECKING:
    from scorer.device.backend import Backend
    from scorer.engine.candidates import CandidateWeights
    from scorer.engine.prepared import Prepared
    from scorer.engine.tiles import Batch
    from scorer.models.custom_code import Consent

STATES = "states"
"""Folder of a run that holds the reference's states while it is scored."""

_BLOCK = 8 << 20


@dataclass(frozen=True, slots=True)
class Loader:
    """How sets of weights are loaded.

    Attributes:
        backend: The device.
        arithmetic: What computes attention and linear layers.
        allow_custom_code: Which Python files of the models' own may run.
    """

    backend: Backend
    arithmetic: str
    allow_custom_code: Consent


class Turns:
    """The turns of a run.

    Args:
        prepared: The job; its candidates are not loaded.
        loader: How they are loaded.
        folder: The run's folder.
        stop: Asked often; True interrupts the run.

    Attributes:
        reference: The reference, its states kept.
        settings: Settings of each turn, the reference's own first.
    """

    def __init__(
        self, prepared: Prepared, loader: Loader, folder: Path, stop: Callable[[], bool]
    ) -> None:
        self._prepared = prepared
        self._loader = loader
        self._stop = stop
        self._folder = folder
        behind = loader.backend.kind != "cpu"
        self.reference = KeptReference(prepared.reference, folder / STATES, behind=behind)
        # Left over from a process that was killed.
        self.reference.remove()
        names = [row.setting.key for row in prepared.planned if row.same_as is None]
        source_of = {row.setting.key: row.weights for row in prepared.planned}
        self.settings = [
            tuple(dict.fromkeys(name for name in names if source_of[name] == source))
            for source in (None, *(c.source for c in prepared.candidates))
        ]

    def keep_states(self, batches: list[Batch]) -> Iterator[Event]:
        """Run the reference on batches that later turns need, where its states are not there.

        Raises:
            Interrupted: ``stop`` said so.
            QfidError: There is no room on disk.
        """
        if not batches:
            return
        first = mx.array(batches[0].ids[:, :-1])
        chunks = sum(len(batch.chunks) for batch in batches)
        for number, batch in enumerate(batches):
            if self._stop():
                raise Interrupted("stopped")
            tokens = mx.array(batch.ids[:, :-1])
            if self.reference.holds(tokens):
                continue
            made = self.reference.begin(tokens).states.load()
            mx.eval(made)
            if not number:
                check_room(self._folder, made.nbytes // len(first) * chunks)
            yield Progress(batch.chunks[0], "", number + 1, len(batches), memory_in_use())
        # Stores what is left.
        self.reference.holds(first)

    def load(self, turn: int, probe: Batch) -> Iterator[Event]:
        """Load the weights of a turn.

        Args:
            turn: Its place among the turns.
            probe: A batch whose states are kept.

        Raises:
            QfidError: They do not load or do not run.
        """
        candidate = self._prepared.candidates[turn - 1]
        yield Loading("model", candidate.name)
        loader = self._loader
        whole = mx.array(probe.ids[:1, :-1])
        try:
            candidate.load(loader.backend, loader.arithmetic, loader.allow_custom_code)
            candidate.check(whole[:, :4], self._prepared.vocab, self._prepared.planned, whole)
        except QfidError:
            raise
        except Exception as error:
            # Its files can be cut off or gone by now, and smaller passes make room for no weights.
            raise QfidError(
                f"`{candidate.name}` cannot be scored: {named_line(error)}",
                "memory ran out while it was loaded"
                if is_out_of_memory(error)
                else "see that its files are whole, and resume the run",
            ) from error

    @contextmanager
    def reading_ahead(self, turn: int) -> Iterator[None]:
        """Read the files of the next turn's weights inside the block; free this turn's after it."""
        ended = threading.Event()
        following = self._prepared.candidates[turn : turn + 1]
        reader = threading.Thread(
            target=_read_ahead, args=(following, ended), name="qfid-read-ahead", daemon=True
        )
        reader.start()
        try:
            yield
        finally:
            ended.set()
            reader.join()
            self.unload(turn)

    def unload(self, turn: int) -> None:
        """Let the weights of a turn go, as far as they are loaded."""
        if turn:
            self._prepared.candidates[turn - 1].release()

    def close(self) -> None:
        """Delete the reference's states."""
        self.reference.remove()

    def release_reference(self, probe: Batch) -> None:
        """Free the reference's layers; its logits are made of states that are kept.

        Args:
            probe: A batch whose states are kept.

        Raises:
            QfidError: Its output layer needs them.
        """
        if self.reference.released:
            return
        if not self.reference.release_layers(mx.array(probe.ids[:, :-1])):
            raise QfidError(
                "the reference's layers cannot be freed: its output layer needs them",
                "score fewer weights at once, or give --force to load all of them together",
            )


def _read_ahead(candidates: tuple[CandidateWeights, ...], ended: threading.Event) -> None:
    """Read the files of weights once, so that the system has them when they are loaded."""
    with suppress(OSError):
        for candidate in candidates:
            for path in candidate.weight_files():
                with path.open("rb", buffering=0) as file:
                    while not ended.is_set() and file.read(_BLOCK):
                        pass
