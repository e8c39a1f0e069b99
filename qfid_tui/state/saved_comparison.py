"""Makes a comparison of a saved run. Imports numpy and reads positions: call it in a thread."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from qfid_tui.state.comparison import Comparison
from scorer.common.errors import QfidError

if TYPE_CHECKING:
    from scorer.runs.run import Run
    from scorer.runs.stored_chunks import StoredChunks
    from scorer.spec.events import ChunkScored


def open_comparison(run_id: str) -> Comparison:
    """The comparison of a saved run: finished, or stopped if something is missing.

    Raises:
        QfidError: There is no such run, or it cannot be read.
    """
    from scorer.report.saved_report import saved_report
    from scorer.runs.comparability import run_conditions
    from scorer.runs.listing import find_run

    run = find_run(run_id)
    comparison = Comparison(run.job)
    comparison.open(run.id, _chunks_of(run), run_conditions(run.readable_facts))
    comparison.set_documents(documents_of(run))
    comparison.set_equal_chunks(equal_chunks_of(run))
    stored = run.read()
    comparison.add_chunks(*saved_chunks(run, stored))
    if comparison.saved:
        comparison.take_report(saved_report(run, stored))
    comparison.phase = "finished" if run.finished else "stopped"
    return comparison


def documents_of(run: Run) -> dict[int, int | None]:
    """Chunk to the document of its first token; empty where a run's facts cannot be read."""
    facts = run.readable_facts.run
    return {} if facts is None else facts.documents


def equal_chunks_of(run: Run) -> dict[int, int]:
    """Chunk to an earlier one of the same tokens; empty where a run does not say."""
    facts = run.readable_facts.run
    return {} if facts is None or facts.equal_chunks is None else facts.equal_chunks


def saved_chunks(run: Run, stored: Mapping[str, StoredChunks] | None = None) -> list[ChunkScored]:
    """The saved chunks of a run, as the events that reported them.

    Of the percentile of the positions so far only the last event of a setting has one.

    Args:
        run: The run.
        stored: What it has stored, where the caller has read that already.

    Raises:
        QfidError: The positions cannot be read.
    """
    from scorer.stats.chunk_event import chunk_event
    from scorer.stats.running_p99 import RunningP99

    stored = run.read() if stored is None else stored
    repeats = equal_chunks_of(run)
    found = []
    for setting in run.job.settings:
        chunks = stored.get(run.stored_as(setting.key))
        if chunks is None:
            continue
        so_far = RunningP99(sum(chunks.sizes))
        for number, (positions, facts) in enumerate(chunks, start=1):
            if int(positions.chunk[0]) not in repeats:
                so_far.add(positions.kl)
            # The percentile of the last chunk is that of the setting; the others are not shown.
            last = so_far if number == len(chunks) else None
            event = chunk_event(
                setting.key, positions, facts.seconds, last, whole=not run.job.roles
            )
            found.append(event)
    return found


def _chunks_of(run: Run) -> Collection[int]:
    chunks = run.readable_facts.chunks
    if chunks is None:
        raise QfidError(f"run `{run.id}` does not say which chunks it is about")
    return chunks
