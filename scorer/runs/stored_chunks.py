"""The scored chunks of a run, setting by setting: their positions stay in the file until asked for.

A long run's positions are larger than memory. One pass over the file checks all of it and notes
where each cell lies. Whoever wants positions reads those of one chunk after the other.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, overload

from scorer.common.atomic_files import storage_error
from scorer.common.errors import QfidError
from scorer.runs.arrow_messages import frame_at
from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.positions_file import open_positions, read_positions
from scorer.runs.positions_format import POSITIONS_SCHEMA, Place, read_again, read_schema
from scorer.runs.positions_schema import UnknownContent
from scorer.runs.role_runs import counted_positions, counted_rows, roles_at
from scorer.stats.positions import Positions, SummaryColumns

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class StoredCell:
    """Where one cell lies in a positions file, and what is stored with it.

    Attributes:
        chunk: Index of the chunk.
        rows: Number of its scored positions.
        facts: How it was scored.
        place: Where its message lies.
        counted: How many of them are of the roles that count.
    """

    chunk: int
    rows: int
    facts: ChunkFacts
    place: Place
    counted: int


class StoredChunks(Sequence[tuple[Positions, ChunkFacts]]):
    """The chunks of one setting with their facts, in ascending order of chunk.

    Items are read from the file each time they are asked for; the arrays are read-only. Where only
    some roles of a text count, they hold the positions of these alone.

    Raises:
        QfidError: When items are read: the file has changed since, or the disk fails.
    """

    def __init__(
        self, path: Path, cells: Sequence[StoredCell], roles: tuple[str, ...] = ()
    ) -> None:
        """Create it of the cells in ``path``, in ascending order of chunk.

        Args:
            path: The file.
            cells: The cells.
            roles: The roles that count; empty for all positions.
        """
        self._path = path
        self._cells = cells
        self._roles = roles

    @property
    def chunks(self) -> list[int]:
        """Indices of the chunks."""
        return [cell.chunk for cell in self._cells]

    @property
    def sizes(self) -> list[int]:
        """Number of positions of each chunk."""
        return [cell.counted for cell in self._cells]

    @property
    def has_roles(self) -> bool:
        """Whether it is known of positions whose they are."""
        return any(cell.facts.roles for cell in self._cells)

    def of_all_roles(self) -> StoredChunks:
        """Return the same chunks with all their positions."""
        cells = [dataclasses.replace(cell, counted=cell.rows) for cell in self._cells]
        return StoredChunks(self._path, cells)

    def roles(self) -> Iterator[list[str]]:
        """The role of each position, chunk by chunk, as :meth:`positions` gives them.

        It is "" where that is not known. No position is read.
        """
        for cell in self._cells:
            found = roles_at(cell.facts.roles, cell.rows)
            yield [role for role in found if role in self._roles] if self._roles else found

    @property
    def facts(self) -> list[ChunkFacts]:
        """The facts of each chunk."""
        return [cell.facts for cell in self._cells]

    def only(self, chunks: Container[int]) -> StoredChunks:
        """Return those among some chunks."""
        return self._of([cell for cell in self._cells if cell.chunk in chunks])

    def without(self, chunks: Container[int]) -> StoredChunks:
        """Return all but some chunks."""
        return self._of([cell for cell in self._cells if cell.chunk not in chunks])

    def _of(self, cells: Sequence[StoredCell]) -> StoredChunks:
        return StoredChunks(self._path, cells, self._roles)

    def positions(self) -> Iterator[Positions]:
        """Read the positions chunk by chunk."""
        return self._read(self._cells)

    def columns(self) -> SummaryColumns:
        """Read what a summary is made of, of all chunks."""
        return SummaryColumns.joined(self.positions(), sum(self.sizes))

    def __len__(self) -> int:
        return len(self._cells)

    def __iter__(self) -> Iterator[tuple[Positions, ChunkFacts]]:
        return zip(self.positions(), self.facts, strict=True)

    @overload
    def __getitem__(self, index: int) -> tuple[Positions, ChunkFacts]: ...

    @overload
    def __getitem__(self, index: slice) -> StoredChunks: ...

    def __getitem__(self, index: int | slice) -> tuple[Positions, ChunkFacts] | StoredChunks:
        if isinstance(index, slice):
            return self._of(self._cells[index])
        cell = self._cells[index]
        (positions,) = self._read([cell])
        return positions, cell.facts

    def _read(self, cells: Sequence[StoredCell]) -> Iterator[Positions]:
        try:
            with os.fdopen(open_positions(self._path, os.O_RDONLY), "rb") as file:
                schema = _schema(file)
                for cell in cells:
                    positions = read_again(cell.place, file.fileno(), schema, cell.rows)
                    if positions is None:
                        raise QfidError(
                            f"`{self._path}` was changed while it was read", "try again"
                        )
                    yield counted_positions(positions, cell.facts.roles, self._roles)
        except OSError as error:
            raise storage_error(error, self._path) from error


def _schema(file: BinaryIO) -> pa.Schema:
    """The schema of a positions file; that of version 1 where it is none any more."""
    first = frame_at(file, 0, file.seek(0, os.SEEK_END))
    try:
        return POSITIONS_SCHEMA if first is None else read_schema(first)[0]
    except UnknownContent:
        return POSITIONS_SCHEMA


def stored_chunks(path: Path, roles: tuple[str, ...] = ()) -> dict[str, StoredChunks]:
    """Read a positions file once from end to end, checking all of it.

    Args:
        path: The file.
        roles: The roles that count; empty for all positions.

    Returns:
        Setting to its scored chunks. One whose positions are all of other roles is left out.

    Raises:
        InputError: It holds something that this version does not understand.
        QfidError: It cannot be opened or the disk fails.
    """
    found: dict[str, list[StoredCell]] = {}
    reader = read_positions(path)
    for chunk in reader:
        assert reader.place is not None
        rows = len(chunk.positions)
        counted = counted_rows(chunk.facts.roles, roles, rows)
        cell = StoredCell(chunk.key.chunk, rows, chunk.facts, reader.place, counted)
        if counted:
            found.setdefault(chunk.key.setting, []).append(cell)
    return {
        setting: StoredChunks(path, sorted(cells, key=lambda cell: cell.chunk), roles)
        for setting, cells in found.items()
    }
