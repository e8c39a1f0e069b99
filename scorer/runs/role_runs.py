"""Whose the positions of a cell are, as it is stored: roles in runs, in the order of the positions.

The target of a position, not the position's own token, has the role. Pure standard library but for
the functions that take or give arrays.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scorer.stats.positions import Positions

RoleRuns = tuple[tuple[str, int], ...]
"""A role and how many positions in a row are of it, one pair after the other; empty where a text
has no roles."""


@functools.lru_cache(maxsize=1 << 15)
def shared(runs: RoleRuns) -> RoleRuns:
    """Return the same tuple for equal ones: every setting of a run holds those of each chunk."""
    return runs


def runs_of(codes: NDArray[np.uint8], names: Sequence[str]) -> RoleRuns:
    """Return the runs of positions.

    Args:
        codes: (T,) indices into ``names``.
        names: Names of roles.
    """
    groups = itertools.groupby(codes.tolist())
    return shared(tuple((names[code], sum(1 for _ in group)) for code, group in groups))


def roles_at(runs: RoleRuns, rows: int) -> list[str]:
    """Return the role of each of so many positions; "" where it is not known."""
    found = list(itertools.chain.from_iterable([role] * count for role, count in runs))[:rows]
    return found + [""] * (rows - len(found))


def counted_rows(runs: RoleRuns, roles: Collection[str], rows: int) -> int:
    """Return how many of so many positions are of some roles; all of them where none is named."""
    return sum(count for role, count in runs if role in roles) if roles else rows


def counted_positions(positions: Positions, runs: RoleRuns, roles: Collection[str]) -> Positions:
    """Return those of a cell's positions that are of some roles; all where none is named."""
    if not roles:
        return positions
    import numpy as np

    found = np.zeros(len(positions), np.bool_)
    at = 0
    for role, count in runs:
        found[at : at + count] = role in roles
        at += count
    return positions.select(found)
