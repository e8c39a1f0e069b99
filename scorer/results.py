"""What a saved run measured, for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

    from scorer.stats.positions import Positions


def read_positions(run: str | PathLike[str]) -> dict[str, Positions]:
    """Read the scored positions of a saved run, by setting.

    ``positions.arrow`` of a run is an Arrow IPC stream with a record batch for each chunk and
    setting, in the order in which they were scored. Read as one table it mixes the settings.

    Args:
        run: Id of the run, its unique beginning, or the path of its folder.

    Returns:
        Setting in notation to its :class:`~scorer.stats.positions.Positions`: float64 and int32
        arrays of shape (positions,), sorted by chunk and position. Two settings that one
        computation served have the same positions.

    Raises:
        InputError: There is no such run, or another version of qfid wrote its positions.
        QfidError: The positions cannot be read or are damaged.
    """
    import os

    from scorer.runs.listing import find_run
    from scorer.stats.positions import Positions
    from scorer.stats.summary import in_order

    found = find_run(os.fspath(run))
    stored = found.read()
    result = {}
    for setting in found.job.settings:
        chunks = stored.get(found.stored_as(setting.key))
        if chunks:
            result[setting.key] = in_order(Positions.concatenate(list(chunks.positions())))
    return result
