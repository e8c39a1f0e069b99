"""A reference whose final hidden states are kept on disk, so that it runs once however many turns.

Weights that do not fit beside the reference's take turns with them. What every turn needs of the
reference is its logits; the states they are made of are some sixty times smaller.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import mlx.core as mx
import numpy as np

from scorer.common.atomic_files import storage_error
from scorer.common.errors import QfidError
from scorer.lanes.base import ModelLane, PendingPass, ReferenceLane
from scorer.lanes.states import FileStates, MemoryStates


class StatesGone(QfidError):
    """States are not on disk, and the layers that could compute them are freed."""


class KeptReference(ModelLane):
    """The reference, its states read from disk where they are there.

    A chunk's states are found by its tokens. They are stored chunk by chunk, so that batches of
    another size find them too.

    Args:
        reference: The lane that computes what is not there yet.
        folder: Where states are kept; it is made when it is needed.
        behind: Store the states of a batch when the next one has been dispatched, for a device that
            would otherwise stand still meanwhile.

    Attributes:
        key: ``reference``.
        first_position: 0.
    """

    first_position = 0

    def __init__(self, reference: ReferenceLane, folder: Path, *, behind: bool = False) -> None:
        super().__init__(reference.model)
        self.key = reference.key
        self._reference = reference
        self._folder = folder
        self._layers_freed = False
        self._behind = behind
        # States (B, T, H) that are not stored yet, and a path for each of their chunks.
        self._unstored: tuple[mx.array, list[Path]] | None = None

    @property
    def released(self) -> bool:
        """Whether its layers are freed: then states are read and never computed."""
        return self._layers_freed

    def holds(self, tokens: mx.array) -> bool:
        """Whether the states of every chunk of tokens (B, T) int32 are there."""
        self._store()
        return all(path.exists() for path in self._paths(tokens))

    def begin(self, tokens: mx.array) -> PendingPass:
        """Read the states of tokens (B, T) int32; compute and keep them where they are not there.

        Raises:
            StatesGone: They are not there, and the layers are freed.
            QfidError: They cannot be stored, or what is stored is damaged.
        """
        paths = self._paths(tokens)
        if self._unstored is not None and not set(self._unstored[1]).isdisjoint(paths):
            self._store()
        if all(path.exists() for path in paths):
            parts = [FileStates(path).load() for path in paths]
            return PendingPass(MemoryStates(parts[0] if len(parts) == 1 else mx.concatenate(parts)))
        if self._layers_freed:
            # Without its layers a body gives states all the same, or fails anywhere.
            raise StatesGone(
                f"the reference's hidden states are not in `{self._folder}` any more",
                "resume the run: it computes them again",
            )
        made = self._reference.begin(tokens)
        self._store()
        self._unstored = made.states.load(), paths
        if not self._behind:
            self._store()
        return made

    def _store(self) -> None:
        """Store what is not stored yet."""
        if self._unstored is None:
            return
        states, paths = self._unstored
        self._unstored = None
        self._make_folder()
        for row, path in enumerate(paths):
            FileStates.store(states[row : row + 1], path)

    def over(self, reference: ReferenceLane) -> KeptReference:
        """The same states for another thread; what it computes is stored at once.

        Args:
            reference: Computes what is not there yet, over modules of that thread.
        """
        other = KeptReference(reference, self._folder)
        other._layers_freed = self._layers_freed
        return other

    def unshared(self) -> ReferenceLane:
        """The reference without the states on disk."""
        return self._reference.unshared()

    def release_layers(self, tokens: mx.array) -> bool:
        """Free the layers of the reference; from then on states are read and never computed.

        Args:
            tokens: (B, T) int32, tokens whose states are there.

        Returns:
            Whether it could be done: the output layer may need them.
        """
        states = self.begin(tokens).states.load()
        self._layers_freed = self.split.release_layers(states[:1, :2])
        return self._layers_freed

    def remove(self) -> None:
        """Delete all states."""
        self._unstored = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _paths(self, tokens: mx.array) -> list[Path]:
        rows = np.array(tokens)
        names = [hashlib.sha256(row.astype("<i4").tobytes()).hexdigest() for row in rows]
        return [self._folder / f"{name}.states" for name in names]

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise storage_error(error, self._folder) from error


def check_room(folder: Path, needed: int) -> None:
    """See that there is room on disk for states.

    Args:
        folder: An existing folder of the file system in question.
        needed: Bytes of all states.

    Raises:
        QfidError: There is not.
    """
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return
    if needed > free:
        raise QfidError(
            f"the reference's hidden states take {needed / 1e9:.2f} GB on disk and "
            f"{free / 1e9:.2f} GB are free in `{folder}`",
            "score fewer chunks, or free space; weights that fit in memory together need none",
        )
