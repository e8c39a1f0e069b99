"""Chunks that can be added to the run on the screen. Pure standard library."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qfid_tui.state.choices import same_conditions
from qfid_tui.state.next_run import NextRun
from scorer.common.errors import InputError

if TYPE_CHECKING:
    from qfid_tui.state.workbench import WorkbenchState
    from scorer.spec.job import Job

ADDED = 32
"""Chunks that are added where nobody says how many."""
ALL = "all"


@dataclass(frozen=True, slots=True)
class MoreChunks:
    """What a run has, and what could be added to it.

    Attributes:
        planned: Chunks of the run, those included that it still lacks.
        left: Chunks of the text that are not among them; None where that is not known.
    """

    planned: int
    left: int | None

    @property
    def default(self) -> int:
        """How many are added where nobody says."""
        return ADDED if self.left is None else min(ADDED, self.left)

    def read(self, text: str) -> int:
        """How many a text asks for, no more than there are.

        Raises:
            InputError: It is no number above 0.
        """
        word = text.strip().lower()
        if word == ALL:
            if self.left is None:
                raise InputError(
                    "how many chunks the text has is not known before the run goes on",
                    "give a number",
                )
            return self.left
        n = int(word) if word.isascii() and word.isdecimal() and len(word) < 10 else 0
        if n < 1:
            raise InputError(f"`{text.strip()}` is not a number of chunks", "32, or `all`")
        return n if self.left is None else min(n, self.left)

    def words(self, n: int) -> str:
        """``32 more: 64 of 595 chunks`` in all."""
        every = self.left is not None and n == self.left
        of = "" if self.left is None else f" of {self.planned + self.left}"
        last = ", all that the text has" if every else ""
        return f"{n} more: {self.planned + n}{of} chunks{last}"


def more_chunks(state: WorkbenchState) -> MoreChunks | None:
    """What could be added to the run on the screen; None where nothing can now."""
    comparison = state.comparison
    if comparison.is_active or comparison.run is None or comparison.job is None:
        return None
    if comparison.job.until_settled:
        # Its looks belong to the chunks that it began with.
        return None
    planned, total = comparison.planned_chunks, comparison.text_chunks
    if not planned or not comparison.saved or 0 < total <= planned:
        return None
    return MoreChunks(planned, total - planned if total else None)


def with_more_chunks(state: WorkbenchState, n: int) -> tuple[NextRun, WorkbenchState]:
    """The run that scores what is added, and the state in which so many are chosen.

    Args:
        state: The state; chunks can be added to the run on its screen.
        n: How many.
    """
    comparison = state.comparison
    known = comparison.job
    assert known is not None
    job = dataclasses.replace(known, max_chunks=comparison.planned_chunks + n)
    names = tuple(setting.key for setting in job.settings)
    chosen = state.choices
    if _is_chosen(state, known):
        chosen = dataclasses.replace(chosen, max_chunks=job.max_chunks)
    return NextRun("more", job, comparison.run, names), state.changed(choices=chosen)


def _is_chosen(state: WorkbenchState, job: Job) -> bool:
    """Whether the options are those of the run on the screen."""
    try:
        return same_conditions(state.choices.job(job.settings), job)
    except InputError:
        return False
