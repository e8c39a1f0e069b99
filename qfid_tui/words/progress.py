"""Describes times, rates and steps of a run in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scorer.common.inert_text import inert
from scorer.spec.events import Loading, Looked, Planned, RanksScored
from scorer.spec.thresholds import metrics_words

if TYPE_CHECKING:
    from qfid_tui.state.progress import RunProgress


def duration(seconds: float) -> str:
    """Format a duration: ``48 s``, ``3 min 20 s``, ``1 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def rate_text(rate: float) -> str:
    """Format a rate as chunks per second, or as seconds per chunk if it is below 1."""
    return f"{rate:.1f} chunks/s" if rate >= 1 else f"{1 / rate:.1f} s/chunk"


def loading_text(event: Loading) -> str:
    """Describe a step before scoring in a line."""
    named = {
        "model": "loading",
        "tokenizing": "tokenizing",
        "corpus": "fetching",
        "kernels": "compiling",
        "ranks": "starting",
    }
    if event.step in named:
        return f"{named[event.step]} {event.detail or event.step}"
    return f"{event.step} {event.detail}".strip()


def rank_lines(event: RanksScored) -> list[str]:
    """What each rank of a run has scored, and how fast it was of late, a line each."""
    each = zip(event.names, event.cells, event.round_cells, event.seconds, strict=True)
    return [
        f"{inert(name)}: {cells} chunks × settings scored"
        + (f", {round_cells / seconds:.2g} a second" if seconds > 0 and round_cells else "")
        for name, cells, round_cells, seconds in each
    ]


def ranks_text(event: RanksScored) -> str:
    """How fast each rank was of late, in a line: ``ranks: 0 4.7/s, 1 8.8/s``."""
    each = zip(event.round_cells, event.seconds, strict=True)
    rates = (
        f"{rank} {cells / seconds:.2g}/s" if cells and seconds > 0 else f"{rank} –"
        for rank, (cells, seconds) in enumerate(each)
    )
    return f"ranks: {', '.join(rates)} (settings on chunks)"


def planned_text(event: Planned) -> str:
    """Describe what the run will score, in a line."""
    settings = ", ".join(event.settings)
    on = chunks_text(len(event.chunks))
    if event.looks:
        on = f"at most {on}, until settled ({looks_text(event)})"
    already = sum(event.done.values())
    known = f", {already} of {len(event.chunks) * len(event.settings)} scored already"
    return (
        f"scoring {settings} on {on} with {event.model} "
        f"({event.arithmetic}){known if already else ''}"
    )


def chunks_text(count: int) -> str:
    """``1 chunk``, ``2 chunks``."""
    return f"{count} chunk" if count == 1 else f"{count} chunks"


def where_text(run: RunProgress) -> str:
    """Where a run is: ``chunk 3 of 32``; where sets of weights take turns, of which turn.

    Where chunks are added to a run: ``added chunk 3 of 8``.
    """
    at = min(run.complete_of_turn + 1, run.chunks)
    said = f"chunk {at} of {run.chunks}"
    if run.added and at > run.earlier:
        said = f"added chunk {at - run.earlier} of {run.added}"
    if run.planned is not None and (looks := run.planned.looks):
        done = sum(size < run.chunks for size in looks) if run.look is None else run.look.look
        said += f" (look {min(done + 1, len(looks))} of {len(looks)})"
    if run.turn is None:
        return said
    return f"weights {run.turn or 'of the reference'}, {said}"


def looks_text(event: Planned) -> str:
    """When a run looks whether it is settled: ``9 looks, at 30, 45, 67, ... chunks``."""
    sizes = ", ".join(map(str, event.looks[:3]))
    if len(event.looks) == 1:
        return f"1 look, at {chunks_text(event.looks[0])}"
    return f"{len(event.looks)} looks, at {sizes}{', ...' if event.looks[3:] else ''} chunks"


def look_text(event: Looked) -> str:
    """What a look said: ``look 3 of 9 at 67 chunks: 4 open on flips``."""
    words = f"look {event.look} of {len(event.looks)} at {chunks_text(event.chunks)}: "
    if event.stops:
        return f"{words}every setting is settled"
    if not event.open:
        return f"{words}no setting is left"
    found = (f"{inert(name)} open on {metrics_words(on)}" for name, on in event.open.items())
    return words + "; ".join(found)


def dropped_text(setting: str, reason: str) -> str:
    """Say that a setting is scored no further, and why."""
    return f"setting `{inert(setting)}` is scored no further: {inert(reason)}"


def done_text(run: RunProgress) -> str:
    """How much is scored: ``3 of 32 chunks scored``; in turns, over all settings."""
    if run.in_turns:
        return f"{run.saved} of {run.planned_in_all} settings × chunks scored"
    if run.added and run.complete >= run.earlier:
        return f"{run.complete - run.earlier} of {chunks_text(run.added)} added and scored"
    return f"{run.complete} of {chunks_text(run.chunks)} scored"
