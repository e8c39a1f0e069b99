"""The cells of a run as a pure value: passages × chunks × settings, in order, in batches.

A cell is one chunk of one passage under one setting; it is what is scored, stored and counted.
Where batches begin and end depends on the grid alone: not on what is done, on how much memory
there is, or on how many workers share the work, because the shape of a forward pass moves the
last bits of its numbers.

Pure standard library.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CellKey:
    """Names one cell of a run, in memory and in the positions file.

    Attributes:
        setting: Key of the setting, its canonical notation.
        chunk: Index of the chunk in its passage.
        passage: Key of the passage; None for the only one of a run.
    """

    setting: str
    chunk: int
    passage: str | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of a passage.

    Attributes:
        index: Its place in the text, counted in chunks.
        scored: Positions that the protocol scores; a setting may begin later.
    """

    index: int
    scored: range


@dataclass(frozen=True, slots=True)
class Passage:
    """A text as one run cuts and scores it: the first axis of a grid.

    Attributes:
        text: SHA-256 of the text, hexadecimal.
        protocol: How chunks are made and which positions count.
        length: Tokens of a chunk.
        batch: Chunks that go through the model together.
        chunks: The planned chunks, in scoring order.
        key: Part of the cells' keys; None for the only passage of a run.
    """

    text: str
    protocol: str
    length: int
    batch: int
    chunks: tuple[Chunk, ...]
    key: str | None = None


@dataclass(frozen=True, slots=True)
class GridBatch:
    """Neighbouring chunks of one passage that go through the model together.

    Attributes:
        passage: The passage.
        chunks: At least one and at most ``passage.batch`` of its chunks.
    """

    passage: Passage
    chunks: tuple[Chunk, ...]

    def parts(self, size: int) -> Iterator[GridBatch]:
        """Cut the batch into parts of at most ``size`` chunks, for when memory is short."""
        for first in range(0, len(self.chunks), size):
            yield GridBatch(self.passage, self.chunks[first : first + size])

    def keys(self, setting: str) -> list[CellKey]:
        """Keys of the batch's cells under one setting, in order."""
        return [CellKey(setting, chunk.index, self.passage.key) for chunk in self.chunks]


@dataclass(frozen=True, slots=True)
class Grid:
    """Every cell of a run.

    Attributes:
        passages: The passages, in scoring order.
        settings: Keys of the settings, in scoring order.

    Raises:
        ValueError: A cell would be in it twice, or a batch holds no chunk.
    """

    passages: tuple[Passage, ...]
    settings: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check that no two cells share a key."""
        axes: list[tuple[str, list[object]]] = [
            ("passage", [passage.key for passage in self.passages]),
            ("setting", list(self.settings)),
        ]
        for passage in self.passages:
            axes.append(("chunk", [chunk.index for chunk in passage.chunks]))
            if passage.batch < 1:
                raise ValueError("a batch holds at least one chunk")
        for name, values in axes:
            if len(set(values)) < len(values):
                raise ValueError(f"the grid names a {name} twice")

    def batches(self) -> Iterator[GridBatch]:
        """The batches of every passage, in order; their borders depend on the grid alone."""
        for passage in self.passages:
            yield from GridBatch(passage, passage.chunks).parts(passage.batch)

    def cells(self) -> Iterator[CellKey]:
        """Keys of all cells in the order they are scored: by batch, setting, chunk."""
        for batch in self.batches():
            for setting in self.settings:
                yield from batch.keys(setting)

    def missing(self, done: Container[CellKey]) -> list[CellKey]:
        """Keys of the cells that are not done, in the order they are scored."""
        return [key for key in self.cells() if key not in done]
