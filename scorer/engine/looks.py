"""The looks at a run: what is scored no further, and when the whole run is to stop.

A look is taken between two batches, after a number of chunks that is planned when the run begins,
and sees what is stored. A run that wants one answer drops settings that cannot be it. A run that
stops once it is settled ends for all settings together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from scorer.common.errors import InputError
from scorer.report.dropping import droppable
from scorer.report.from_run import finished_report, look_at
from scorer.report.stopping import planned_looks
from scorer.runs.run import Run
from scorer.spec.events import Event, Looked, SettingDropped
from scorer.spec.thresholds import METRICS

if TYPE_CHECKING:
    from scorer.engine.prepared import Prepared

FIRST_LOOK = 8
"""Chunks after which settings are dropped for the first time."""

_GROWTH = 2


class Looks(Protocol):
    """When to look at a run, and what comes of it.

    Attributes:
        drops: Whether a look drops settings; False where it stops the run.
    """

    drops: bool

    @property
    def sizes(self) -> Sequence[int]:
        """After how many chunks, ascending."""

    def look(self, chunks: int) -> Iterator[Event]:
        """Look at what is stored.

        Args:
            chunks: One of ``sizes``; all settings that go on have so many chunks.

        Yields:
            SettingDropped for each setting that is scored no further, or Looked.
        """


def drop_sizes(chunks: int, *, in_turns: bool) -> list[int]:
    """After how many chunks settings are dropped.

    Args:
        chunks: Chunks of the run.
        in_turns: Whether sets of weights take turns: each look loads them all again, so there is
            one.

    Returns:
        Ascending numbers below ``chunks``.
    """
    found: list[int] = []
    at = FIRST_LOOK
    while at < chunks and not (in_turns and found):
        found.append(at)
        at *= _GROWTH
    return found


class DroppingLooks:
    """Looks that drop settings which cannot be the answer any more; what is scored stays.

    Args:
        run: The run; its settings that are dropped are noted in it.
        chunks: Chunks that it is to score.
        in_turns: Whether sets of weights take turns.
    """

    drops = True

    def __init__(self, run: Run, chunks: int, *, in_turns: bool) -> None:
        self._run = run
        self.sizes = drop_sizes(chunks, in_turns=in_turns)

    def look(self, chunks: int) -> Iterator[Event]:
        """Drop settings; see :class:`Looks`."""
        found = droppable(finished_report(self._run))
        self._run.mark_dropped(found)
        for name, reason in found.items():
            yield SettingDropped(name, reason)


class SettlingLooks:
    """Looks that end the run once every setting is settled; see :mod:`scorer.stats.stopping`.

    Args:
        run: The run.
    """

    drops = False

    def __init__(self, run: Run) -> None:
        self._run = run
        facts = run.facts.run
        assert facts is not None
        self.sizes = planned_looks(facts)

    def look(self, chunks: int) -> Iterator[Event]:
        """Say what is settled; see :class:`Looks`."""
        number = self.sizes.index(chunks) + 1
        found = look_at(self._run, number)
        yield Looked(
            look=number,
            looks=list(self.sizes),
            standings={s.setting: s.standing for s in found.settings},
            open={s.setting: list(s.open) for s in found.settings if s.open},
            intervals={
                s.setting: {
                    metric: [ends.low, ends.high]
                    for metric in METRICS
                    if (ends := s.interval(metric)) is not None
                }
                for s in found.settings
            },
            stops=found.stopped,
        )


def looks_of(prepared: Prepared, run: Run) -> Looks | None:
    """When to look at a run, and what for; None for one that scores all it is asked for.

    Args:
        prepared: Its job, ready to be scored.
        run: The run.

    Raises:
        InputError: It is to stop once it is settled, and cannot score all settings side by side.
    """
    job = prepared.job
    if job.until_settled:
        if prepared.in_turns:
            raise InputError(
                "sets of weights that take turns in memory cannot stop together",
                "leave out --until-settled, or score fewer weights at once",
            )
        return SettlingLooks(run)
    if job.drop_beaten:
        chunks = len(prepared.corpus.indices)
        return DroppingLooks(run, chunks, in_turns=prepared.in_turns)
    return None
