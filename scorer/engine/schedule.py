"""Which cells of a run are scored next, and when a run stops or gives up.

In order: batch after batch, each under every setting that lacks one of its chunks. Where sets of
weights take turns in memory, turn after turn, and batch after batch within each. Whether to stop,
to give up a setting, or to go on with less memory is decided here and nowhere else, between two
batches. A user's interrupt is not a decision of the schedule: the loop looks for it at every
step, because a batch can take minutes. Imports no mlx.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from scorer.common.errors import QfidError, SettingFailed, WillNotFit
from scorer.fit.pass_size import PassSize
from scorer.runs.grid import CellKey, Grid, GridBatch

SHORTAGES = 2
"""How often a run that is out of memory goes on with smaller passes."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells to score together: the same chunks under each of some settings.

    Attributes:
        batch: The chunks, a batch of the grid or a part of one.
        settings: Keys of the settings, at least one; each lacks one of the chunks at least.
    """

    batch: GridBatch
    settings: tuple[str, ...]


class Schedule:
    """Hands out the missing cells of a grid, in order.

    Args:
        grid: All cells of the run.
        done: Keys of the cells that are stored already.
        size: How much goes through the model at once, as memory allows.
        turns: Settings whose weights are in memory together, turn by turn; None for all at once.

    Attributes:
        size: The same, now. Batches of the grid that are larger are cut into parts.
        done: Keys of the cells that are scored.
        failed: Settings given up, and why.
        stopped_at: After how many chunks the run stopped, because it is settled; None for one that
            goes on.
    """

    def __init__(
        self,
        grid: Grid,
        done: Iterable[CellKey],
        size: PassSize,
        turns: Sequence[Sequence[str]] | None = None,
    ) -> None:
        self.grid = grid
        self.done = set(done)
        self.size = size
        self.failed: dict[str, SettingFailed] = {}
        self.stopped_at: int | None = None
        self._shortages, self._attempts = 0, SHORTAGES
        self._turns = [tuple(turn) for turn in (turns or [grid.settings])]
        self._turn = 0
        self._limit: int | None = None
        self._dropped: set[str] = set()
        self._parts = self._cut()

    def begin(self, turn: int) -> tuple[str, ...]:
        """Hand out the cells of one turn from now on, from its first on.

        Args:
            turn: Its place among the turns.

        Returns:
            Its settings that lack one of them.
        """
        self._turn = turn
        self._parts = self._cut()
        lacking = {name for part in self._cut() for name in self._lacking(part)}
        return tuple(name for name in self._turns[turn] if name in lacking)

    def lacking_after(self, turn: int) -> list[GridBatch]:
        """The batches, cut as they go through a model, that a later turn has yet to score."""
        later = [name for settings in self._turns[turn + 1 :] for name in settings]
        return [p for p in self._cut() if any(self._lacks(name, p) for name in later)]

    def next(self) -> Cells | None:
        """The next cells to score; None to stop, because nothing is missing any more.

        What it has handed out before, and is not scored yet, it does not hand out again.
        """
        for part in self._parts:
            settings = self._lacking(part)
            if settings:
                return Cells(part, settings)
        return None

    def lacking(self, most: int) -> int:
        """How many batches, cut as they go through a model, have yet to be scored.

        Args:
            most: Count no further.
        """
        return sum(1 for _ in islice(filter(self._lacking, self._cut()), most))

    def limit(self, chunks: int | None) -> int | None:
        """Hand out only cells of batches that begin before so many chunks; None for all.

        Returns:
            The limit before.
        """
        before, self._limit = self._limit, chunks
        self._parts = self._cut()
        return before

    def has_looked(self, chunks: int) -> bool:
        """Whether a setting has all of the first so many chunks: what is missing is of later ones.

        Args:
            chunks: Chunks after which a run looks, the end of a batch.
        """
        keys = [
            [key for batch in self._up_to(chunks) for key in batch.keys(name)]
            for name in self.grid.settings
        ]
        return any(self.done.issuperset(of_one) for of_one in keys)

    def _up_to(self, chunks: int) -> Iterator[GridBatch]:
        before = 0
        for batch in self.grid.batches():
            if before >= chunks:
                return
            before += len(batch.chunks)
            yield batch

    def stop(self, chunks: int) -> None:
        """Hand out nothing any more: every setting is settled.

        Args:
            chunks: The chunks that settled them.
        """
        self.stopped_at = chunks
        self._parts = iter(())

    def drop(self, setting: str) -> None:
        """Hand out no more cells of a setting that cannot be the answer."""
        self._dropped.add(setting)

    def mark_scored(self, key: CellKey) -> bool:
        """Note that a cell is scored; False where it was before."""
        if key in self.done:
            return False
        self.done.add(key)
        return True

    def give_up(self, setting: str, error: QfidError) -> None:
        """Hand out no more cells of a setting that gives no usable number."""
        self.failed[setting] = SettingFailed(error.message, error.hint)

    def shrink(self, shortage: str, at_once: int = 1) -> None:
        """Go on with less at once after memory ran out, from the first cell that is missing.

        Args:
            shortage: What the device said.
            at_once: How many batches were scored at once, where fewer than there may be.

        Raises:
            WillNotFit: There is no smaller size, or memory ran out more than :data:`SHORTAGES`
                times.
        """
        self._shortages += 1
        size = replace(self.size, workers=at_once)
        # One batch at a time is the run as it would be on one core: it has as many attempts.
        self._attempts -= at_once == 1
        smaller = size.smaller()
        if self._attempts < 0 or smaller is None:
            raise WillNotFit(
                f"memory ran out {self._shortages} times; the last time: {shortage}",
                "everything scored is saved; score with shorter chunks (--chunk-length), or free "
                "memory and resume",
            )
        self.size = smaller
        self._parts = self._cut()

    def _cut(self) -> Iterator[GridBatch]:
        size, limit = self.size.batch, self._limit
        batches = self.grid.batches() if limit is None else self._up_to(limit)
        for batch in batches:
            yield from batch.parts(size)

    def _lacking(self, part: GridBatch) -> tuple[str, ...]:
        return tuple(name for name in self._turns[self._turn] if self._lacks(name, part))

    def _lacks(self, setting: str, part: GridBatch) -> bool:
        if setting in self.failed or setting in self._dropped:
            return False
        return not self.done.issuperset(part.keys(setting))
