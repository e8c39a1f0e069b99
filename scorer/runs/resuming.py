"""What is scored when a saved run goes on: the rule of the command line and of Python."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from scorer.common.errors import InputError, ModelNotCached
from scorer.runs.listing import find_run, newest_unfinished
from scorer.runs.run_lock import RunLock

if TYPE_CHECKING:
    from scorer.runs.run import Run
    from scorer.spec.job import Job


def run_to_resume(text: str | None) -> Run:
    """Return a saved run that no other process writes to.

    Args:
        text: Id of the run, its beginning, or its folder; None for the newest unfinished one.

    Raises:
        InputError: There is no such run, or another process writes to it.
    """
    if text is not None:
        found = find_run(text)
    else:
        newest = newest_unfinished()
        if newest is None:
            raise InputError("no run is unfinished", "`qfid runs` lists them all")
        found = newest
    # Before a model is loaded.
    with RunLock(found.path):
        pass
    return found


def nothing_is_left(run: Run) -> bool:
    """Whether every chunk of a run is scored and reported. A setting that failed is tried again.

    Raises:
        QfidError: Its positions cannot be read.
    """
    return run.finished and not run.failures() and run.whole


def job_to_resume(
    run: Run, *, accept_changes: bool, force: bool, until_settled: bool = False
) -> Job:
    """Return a run's job, with the commit that it began with where the cache has a newer one.

    Args:
        run: The run; this version must be able to append to it.
        accept_changes: Whether it may go on with the newer one.
        force: Score even if memory seems insufficient.
        until_settled: Stop once every setting is settled; a run that was begun so does it anyway.

    Raises:
        InputError: The model cannot be scored, or the run takes its chunks in no random order and
            cannot stop by what it sees.
    """
    from scorer.models.resolve import resolve_model
    from scorer.spec.job import order_seed

    job = run.job
    if until_settled and order_seed(job.chunks) is None:
        raise InputError(
            f"run `{run.id}` takes its chunks in the order `{job.chunks}`, and only a random order "
            "may stop by what it sees",
            "`qfid kv` with --until-settled starts another",
        )
    recorded = str(run.readable_facts.identity.get("model revision", "none"))
    revision = job.revision
    if recorded != "none" and not accept_changes:
        try:
            info = resolve_model(job.model, revision, allow_custom_code=True)
            moved = info.revision not in (None, recorded)
        except ModelNotCached:
            moved = True
        if moved:
            revision = recorded
    return dataclasses.replace(
        job,
        revision=revision,
        force=job.force or force,
        until_settled=job.until_settled or until_settled,
    )
