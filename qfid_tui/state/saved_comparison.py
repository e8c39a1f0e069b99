"""A saved run as a comparison again. Reads positions, and so numpy: call it in a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qfid_tui.state.comparison import Comparison
from scorer.common.errors import QfidError

if TYPE_CHECKING:
    from scorer.runs.run import Run
    from scorer.spec.events import ChunkScored


def open_comparison(run_id: str) -> Comparison:
    """The comparison that a saved run holds: finished, or stopped where something is missing.

    Raises:
        QfidError: There is no such run, or it cannot be read.
    """
    from qfid_tui.state.saved_report import saved_report
    from scorer.runs.listing import find_run

    run = find_run(run_id)
    comparison = Comparison(run.job)
    comparison.open(run.id, _chunks_of(run))
    comparison.know_documents(documents_of(run))
    comparison.learn(*saved_chunks(run))
    if comparison.saved:
        comparison.take_report(saved_report(run))
    comparison.phase = "finished" if run.finished else "stopped"
    return comparison


def documents_of(run: Run) -> dict[int, int | None]:
    """Chunk to the document of its first token; empty where a run's facts cannot be read."""
    facts = run.readable_facts.run
    return {} if facts is None else facts.documents


def saved_chunks(run: Run) -> list[ChunkScored]:
    """The chunks that a run has stored, as the scorer told of them.

    Raises:
        QfidError: The positions cannot be read.
    """
    from scorer.stats.chunk_event import chunk_event

    stored = run.read()
    return [
        chunk_event(str(setting), positions, _seconds(facts.get("seconds")))
        for setting in run.job.settings
        for positions, facts in stored.get(run.stored_as(str(setting)), [])
    ]


def _seconds(value: object) -> float:
    try:
        return float(value) if isinstance(value, int | float) else 0.0
    except OverflowError:
        return 0.0


def _chunks_of(run: Run) -> int:
    chunks = run.readable_facts.chunks
    if chunks is None:
        raise QfidError(f"run `{run.id}` does not say which chunks it is about")
    return len(chunks)
