"""What the run key would do now: start a run, go on with one, add settings to one, or nothing.

Pure standard library.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from qfid_tui.state.choices import same_conditions
from qfid_tui.state.table_rows import refusal
from scorer.common.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qfid_tui.state.choices import Choices
    from qfid_tui.state.comparison import Comparison
    from scorer.spec.geometry import KVGeometry
    from scorer.spec.job import Job


_REFUSED = 2


@dataclass(frozen=True, slots=True)
class SavedRun:
    """A saved run that could be opened instead of starting a new one.

    Attributes:
        id: Its id.
        conditions: Those of its job, see :attr:`scorer.spec.job.Job.conditions`.
        settings: Its settings, in notation.
        revision: Commit of the model that it scored; None where it has none.
        scored: Settings, in notation, that lack nothing; empty for an unfinished run.
        job: Its job, where chunks could be added to it; None where that has not been read.
    """

    id: str
    conditions: str
    settings: tuple[str, ...]
    revision: str | None = None
    scored: tuple[str, ...] = ()
    job: Job | None = None


@dataclass(frozen=True, slots=True)
class NextRun:
    """The next run.

    Attributes:
        kind: ``new`` for a run of its own; ``reopen`` for a saved run of what is chosen, which is
            opened first; ``go_on`` with what a run lacks; ``add`` settings to a run that is
            complete; ``more`` chunks to one; ``nothing`` where everything ticked is scored.
        job: What it would score.
        run: Id of the run it continues; None for a new one.
        missing: Settings, in notation, that it would score.
    """

    kind: Literal["new", "reopen", "go_on", "add", "more", "nothing"]
    job: Job
    run: str | None
    missing: tuple[str, ...]

    def request(self) -> dict[str, Any]:
        """The child's request."""
        request = self.job.to_json()
        return request if self.run is None else {**request, "run": self.run}


def next_run(
    choices: Choices,
    comparison: Comparison,
    saved: Iterable[SavedRun] = (),
    geometry: KVGeometry | None = None,
) -> NextRun:
    """What would be run: of what is ticked, the settings that the model can take.

    A run is continued where nothing but settings differs, because only then do its numbers belong
    in one table with the new ones. One that the scorer has refused to continue is not tried again.

    Args:
        choices: What is chosen.
        comparison: The comparison on the screen.
        saved: Runs of the chosen model that can be continued, newest first.
        geometry: The chosen model's; None if it is not known.

    Raises:
        InputError: What is chosen makes no job.
    """
    ticked = choices.ticked_settings()
    reasons = [refusal(setting, geometry) for setting in ticked]
    if reasons and all(reasons):
        raise InputError(
            reasons[0],
            "add another setting"
            if geometry is not None and geometry.quantizable
            else "choose another model",
        )
    job = choices.job(tuple(s for s, why in zip(ticked, reasons, strict=True) if not why))
    known, run = comparison.job, comparison.run
    failure = comparison.failure if comparison.phase == "failed" else None
    refused = run if failure is not None and failure.exit_code == _REFUSED else None
    is_more = known is not None and has_more_chunks(job, known)
    if (
        known is None
        or run is None
        or run == refused
        or not (is_more or (same_conditions(job, known) and _stop_alike(job, known)))
    ):
        wanted = job.conditions
        for same in saved:
            alike = same.job is None or _stop_alike(job, same.job)
            if same.conditions == wanted and same.id != refused and alike:
                return _reopened(job, same)
        for same in saved:
            if same.id != refused and _lacks_chunks(job, same):
                every = tuple(setting.key for setting in job.settings)
                return NextRun("reopen", job, same.id, every)
        job.check_new()
        return NextRun("new", job, None, tuple(setting.key for setting in job.settings))
    names = dict.fromkeys(s.key for s in (*known.settings, *job.settings))
    if is_more and not 0 < comparison.text_chunks <= comparison.planned_chunks:
        return NextRun("more", job, run, tuple(names))
    missing = tuple(name for name in names if not comparison.is_scored(name))
    if not missing:
        return NextRun("nothing", job, run, ())
    # A run that was stopped before its first chunk has nothing to add to.
    new = comparison.saved > 0 and not any(name in comparison.settings for name in missing)
    return NextRun("add" if new else "go_on", job, run, missing)


def _lacks_chunks(job: Job, same: SavedRun) -> bool:
    """Whether a saved run lacks chunks of a job, and has no other settings to score them under."""
    asked = {setting.key for setting in job.settings}
    return (
        same.job is not None
        and asked.issuperset(same.settings)
        and (has_more_chunks(job, same.job))
    )


def _stop_alike(job: Job, known: Job) -> bool:
    """Whether both or none of two jobs stop once settled: the intervals are others then."""
    return job.until_settled == known.until_settled


def has_more_chunks(job: Job, known: Job) -> bool:
    """Whether a job is another of more chunks, which can be added to it."""
    if job.until_settled or known.until_settled:
        # The looks of such a run belong to its own chunks.
        return False
    if known.max_chunks is None or not same_conditions(
        dataclasses.replace(job, max_chunks=known.max_chunks), known
    ):
        return False
    return job.max_chunks is None or job.max_chunks > known.max_chunks


def _reopened(job: Job, same: SavedRun) -> NextRun:
    names = dict.fromkeys((*same.settings, *(setting.key for setting in job.settings)))
    missing = tuple(name for name in names if name not in same.scored)
    return NextRun("reopen", job, same.id, missing)
