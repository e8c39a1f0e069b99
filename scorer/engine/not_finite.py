"""Where a lane stops giving numbers: the chunk and the position that are named to the user."""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx

from scorer.common.errors import SettingFailed
from scorer.device.dispatch import dispatch_read
from scorer.engine.tiles import Batch, NotFinite
from scorer.lanes.base import CacheNotFinite, Lane
from scorer.lanes.kept_reference import StatesGone


@dataclass(frozen=True, slots=True)
class Place:
    """A position of a batch.

    Attributes:
        row: Its chunk, by its place in the batch.
        position: Counted from the beginning of the chunk.
    """

    row: int
    position: int

    def described(self, batch: Batch) -> str:
        """The place in words."""
        return f"chunk {batch.chunks[self.row]}, position {self.position}"


def explained(
    error: SettingFailed, lane: Lane, batch: Batch, reference: Place | None
) -> SettingFailed:
    """The error of a lane with the chunk and the position that are to blame.

    Args:
        error: What was raised.
        lane: The lane.
        batch: The batch.
        reference: Where the full-precision model gives no number; None where it does everywhere.
    """
    if reference is not None:
        return SettingFailed(
            f"setting `{lane.key}`: the full-precision model gives no finite likelihood at "
            f"{reference.described(batch)}",
            "its logits hold NaN or infinity there; nothing can be compared with them",
        )
    if isinstance(error, NotFinite):
        place = origin(lane, batch, Place(error.row, error.position))
        return SettingFailed(
            f"setting `{lane.key}`: no finite likelihood at {place.described(batch)}",
            "the quantized model's logits hold NaN or infinity there",
        )
    if isinstance(error, CacheNotFinite):
        found = origin_of_checks(lane, batch)
        where = "" if found is None else f", at {found.described(batch)}"
        return SettingFailed(f"{error.message}{where}", error.hint)
    return error


def origin(lane: Lane, batch: Batch, seen: Place) -> Place:
    """The position whose token makes a chunk's states NaN.

    The first NaN stands before it in the logits: attention multiplies what is masked by 0, which
    leaves a NaN. A pass over the tokens before the position alone holds none, so that it is found
    by bisection.

    Args:
        lane: The lane, its model not yet acquired.
        batch: The batch.
        seen: Where the first NaN or infinity is in what the lane gave.

    Returns:
        The position; ``seen`` where the chunk's states hold no NaN, so that the logits of that
        position alone are wrong, or where nothing but whole chunks is known.
    """
    try:
        found = _first_spoilt_length(lane, batch, seen.row)
    except StatesGone:
        # A reference whose layers are freed computes no other length.
        found = None
    return seen if found is None else Place(seen.row, found - 1)


def origin_of_checks(lane: Lane, batch: Batch) -> Place | None:
    """As :func:`origin`, where the lane's checks say that something is not finite, but not where.

    Returns:
        None where no pass over one of the chunks shows it.
    """
    for row in range(len(batch.chunks)):
        if (found := _first_spoilt_length(lane, batch, row)) is not None:
            return Place(row, found - 1)
    return None


def _first_spoilt_length(lane: Lane, batch: Batch, row: int) -> int | None:
    """Tokens of the shortest spoilt beginning of a chunk; None where the whole is not spoilt."""
    # What goes through at full precision is judged by the reference.
    sound: int = lane.first_position
    spoilt: int = batch.ids.shape[1] - 1
    lane.acquire()
    try:
        if not _is_spoilt(lane, batch, row, spoilt):
            return None
        while spoilt - sound > 1:
            middle = (sound + spoilt) // 2
            if _is_spoilt(lane, batch, row, middle):
                spoilt = middle
            else:
                sound = middle
        return spoilt
    finally:
        lane.release()


def _is_spoilt(lane: Lane, batch: Batch, row: int, length: int) -> bool:
    """Whether a pass over the first tokens of a chunk gives NaN or fails its own checks."""
    made = lane.begin(mx.array(batch.ids[row : row + 1, :length]))
    states = made.states.load()
    mx.eval(states)
    try:
        made.findings(dispatch_read(made.checks)())
    except SettingFailed:
        return True
    # Infinite ones can be meant: without a split these are logits.
    return bool(mx.isnan(states).any().item())
