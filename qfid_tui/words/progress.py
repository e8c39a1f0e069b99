"""Describes times, rates and steps of a run in words."""

from __future__ import annotations

from scorer.spec.events import Loading, Planned


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
    }
    if event.step in named:
        return f"{named[event.step]} {event.detail or event.step}"
    return f"{event.step} {event.detail}".strip()


def planned_text(event: Planned) -> str:
    """Describe what the run will score, in a line."""
    settings = ", ".join(event.settings)
    already = sum(event.done.values())
    known = f", {already} of {len(event.chunks) * len(event.settings)} scored already"
    return (
        f"scoring {settings} on {chunks_text(len(event.chunks))} with {event.model} "
        f"({event.arithmetic}){known if already else ''}"
    )


def chunks_text(count: int) -> str:
    """``1 chunk``, ``2 chunks``."""
    return f"{count} chunk" if count == 1 else f"{count} chunks"
