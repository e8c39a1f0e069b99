"""The line of a run in a list, without reading its positions. Pure standard library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scorer.models.file_stamp import digest_of
from scorer.runs.run_info import RunInfo
from scorer.runs.run_lock import holder
from scorer.runs.stored_counts import count_chunks

if TYPE_CHECKING:
    from scorer.runs.run import Run
    from scorer.runs.run_state import RunState


def info_of(run: Run, state: RunState, is_read: bool) -> RunInfo:
    """The line of a run.

    Args:
        run: The run.
        state: What its ``state.json`` holds.
        is_read: Whether that could be read.

    Raises:
        InputError: Its positions are not those of a version that this one can read.
    """
    settings = tuple(setting.key for setting in run.job.settings)
    counts = count_chunks(run.positions_path, state.counted)
    facts = run.readable_facts
    planned, revision = facts.chunks, facts.identity.get("model revision")
    running = holder(run.path) is not None
    return RunInfo(
        id=run.id,
        folder=str(run.path),
        state="running" if running else "finished" if run.finished else "unfinished",
        model=run.job.model,
        settings=settings,
        corpus=run.job.corpus.source,
        chunk_length=run.job.chunk_length,
        created=run.created,
        chunks_done=sum(counts.chunks.get(run.stored_as(name), 0) for name in settings),
        chunks_planned=None
        if planned is None
        else len(planned[: state.stopped_at]) * len(settings),
        failed=tuple(state.failures),
        read_only=counts.read_only,
        conditions=run.job.conditions,
        revision=None if revision in (None, "none") else str(revision),
        files=digest_of(facts.files),
        is_whole=is_read and counts.size >= 0,
    )
