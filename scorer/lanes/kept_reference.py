"""A reference whose final hidden states are kept on disk, so that it runs once however many turns.

Weights that do not fit beside the reference's take turns with them. What every turn needs of the
reference is its logits; the states they are made of are some sixty times smaller.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
from pathlib import Path

import mlx.core as mx
import numpy as np

from scorer.common.atomic_files import storage_error
from scorer.common.errors import QfidError
from scorer.device.dispatch import dispatch
from scorer.lanes.base import ModelLane, PendingPass, ReferenceLane
from scorer.lanes.states import FileStates, HostStates, MemoryStates, StatesBytes

Paths = tuple[Path, ...]


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
        # The states of each chunk that are not stored yet.
        self._unstored: list[StatesBytes] = []
        # The batch that came after each, and the one that is read before it is asked for.
        self._following: dict[Paths, Paths] = {}
        self._last: Paths | None = None
        self._ahead: _ReadAhead | None = None

    @property
    def released(self) -> bool:
        """Whether its layers are freed: then states are read and never computed."""
        return self._layers_freed

    def holds(self, tokens: mx.array) -> bool:
        """Whether the states of every chunk of tokens (B, T) int32 are there."""
        self._store()
        return _all_there(self._paths(tokens))

    def begin(self, tokens: mx.array) -> PendingPass:
        """Read the states of tokens (B, T) int32; compute and keep them where they are not there.

        Raises:
            StatesGone: They are not there, and the layers are freed.
            QfidError: They cannot be stored, or what is stored is damaged.
        """
        paths = self._paths(tokens)
        if any(part.path in paths for part in self._unstored):
            self._store()
        if self._last is not None:
            self._following[self._last] = paths
        self._last = paths
        if _all_there(paths):
            states = self._read(paths)
            if self._behind:
                self._read_ahead(self._following.get(paths, ()))
            return PendingPass(MemoryStates(states))
        if self._layers_freed:
            # Without its layers a body gives states all the same, or fails anywhere.
            raise StatesGone(
                f"the reference's hidden states are not in `{self._folder}` any more",
                "resume the run: it computes them again",
            )
        made = self._reference.begin(tokens)
        states = made.states.load()
        parts = [StatesBytes.of(states[n : n + 1], path) for n, path in enumerate(paths)]
        if self._behind:
            # Asked for when they are stored, they would wait for the batch dispatched meanwhile.
            dispatch(*(part.data for part in parts))
        self._store()
        self._unstored = parts
        if not self._behind:
            self._store()
        return made

    def _store(self) -> None:
        """Store what is not stored yet."""
        parts, self._unstored = self._unstored, []
        if parts:
            self._make_folder()
        for part in parts:
            part.store()

    def _read(self, paths: Paths) -> mx.array:
        """The states (B, T, H) of a batch: those read ahead, or from the files now."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.paths == paths:
            return _joined(ahead.result())
        return _joined([FileStates(path).read() for path in paths])

    def _read_ahead(self, paths: Paths) -> None:
        if paths and _all_there(paths):
            self._ahead = _ReadAhead(paths)

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
        self._unstored, self._ahead = [], None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _paths(self, tokens: mx.array) -> Paths:
        rows = np.array(tokens)
        names = [hashlib.sha256(row.astype("<i4").tobytes()).hexdigest() for row in rows]
        return tuple(self._folder / f"{name}.states" for name in names)

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise storage_error(error, self._folder) from error


class _ReadAhead:
    """The states of a batch, read by a thread while another batch is computed.

    Attributes:
        paths: A file for each chunk.
    """

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self._found: list[HostStates] = []
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="qfid-read-states", daemon=True)
        self._thread.start()

    def result(self) -> list[HostStates]:
        """Wait for the states of each chunk.

        Raises:
            Exception: That of :meth:`FileStates.read`, or memory ran out.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._found

    def _run(self) -> None:
        try:
            self._found = [FileStates(path).read() for path in self.paths]
        except Exception as error:
            self._error = error


def _joined(parts: list[HostStates]) -> mx.array:
    """Chunks (1, T, H) as one array (B, T, H)."""
    arrays = [part.array() for part in parts]
    return arrays[0] if len(arrays) == 1 else mx.concatenate(arrays)


def _all_there(paths: Paths) -> bool:
    return all(path.exists() for path in paths)


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
