"""Whose each token of a run's text is, where the text is a chat."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scorer.spec.roles import TEMPLATE

if TYPE_CHECKING:
    from scorer.runs.stored_chunks import StoredChunks


@dataclass(frozen=True, slots=True, eq=False)
class TextRoles:
    """The roles of the tokens of all chunks, numbered through.

    Attributes:
        names: Names of roles; the first is "": it is not known.
        codes: (T,) uint8 indices into ``names``.
    """

    names: tuple[str, ...]
    codes: NDArray[np.uint8]

    def of(self, token: int) -> str:
        """The role of a token; "" where it is not known."""
        return self.names[int(self.codes[token])]

    def part_beside(self, token: int, step: int) -> int | None:
        """Where the next part that somebody said begins, or with a negative step the one before.

        A part is tokens in a row of one role; those of the template are passed over.

        Args:
            token: Where the walk begins.
            step: 1 or -1.
        """
        begins = np.flatnonzero(np.diff(self.codes, prepend=np.uint8(0)))
        said = [i for i, name in enumerate(self.names) if name not in ("", TEMPLATE)]
        begins = begins[np.isin(self.codes[begins], said)]
        if step > 0:
            at = int(np.searchsorted(begins, token, "right"))
            return int(begins[at]) if at < len(begins) else None
        at = int(np.searchsorted(begins, token, "left"))
        return int(begins[at - 1]) if at else None


def text_roles(stored: Iterable[StoredChunks], chunks: list[int], length: int) -> TextRoles | None:
    """The roles that a run has stored under any of its settings; None of a text without roles.

    Args:
        stored: What it has stored of each setting, of all roles.
        chunks: Indices of the text's chunks, ascending.
        length: Tokens of a chunk.
    """
    names: dict[str, int] = {"": 0}
    codes = np.zeros((len(chunks), length), np.uint8)
    row = {chunk: i for i, chunk in enumerate(chunks)}
    left = set(chunks)
    for parts in stored:
        if not parts.has_roles:
            continue
        own = parts.only(left)
        for (positions, _), roles in zip(own, own.roles(), strict=True):
            at = row[int(positions.chunk[0])]
            found = [names.setdefault(role, len(names)) for role in roles]
            codes[at, positions.position + 1] = found
            if len(found) == length - 1:
                # Another setting has no more of it.
                left.discard(int(positions.chunk[0]))
    return TextRoles(tuple(names), codes.ravel()) if len(names) > 1 else None
