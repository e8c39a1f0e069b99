"""A tiny random model on a small text, scored in this process, for the engine's contracts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scorer.runs.run import Run
from scorer.score import score
from scorer.spec.events import ChunkScored, Event, Failed, Finished, Planned
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.registry import parse_settings

LENGTH = 32
"""Tokens of a chunk where a test names no other length."""


@dataclass(frozen=True)
class Small:
    """A model folder (llama, head dimension 64, one token a byte) and a text file."""

    model: Path
    text: Path

    def job(self, settings: str = "8,4", **changes: Any) -> Job:
        values: dict[str, Any] = {
            "model": str(self.model),
            "settings": parse_settings(settings),
            "corpus": CorpusSpec(str(self.text)),
            "chunk_length": LENGTH,
            "max_chunks": 2,
        }
        return Job(**{**values, **changes})

    def score(self, settings: str = "8,4", **changes: Any) -> list[Event]:
        return list(score(self.job(settings, **changes)))


@dataclass
class Stop:
    """The ``stop`` of a run that ends after so many scored chunks."""

    after: int
    seen: int = field(default=0, init=False)

    def __call__(self) -> bool:
        return self.seen >= self.after

    def watch(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            self.seen += isinstance(event, ChunkScored)
            yield event


def stopped(job: Job, after: int, **more: Any) -> list[Event]:
    """The events of a run that is stopped after ``after`` scored chunks."""
    stop = Stop(after)
    return list(stop.watch(score(job, stop=stop, **more)))


def resumed(job: Job, run: str, **more: Any) -> list[Event]:
    """The events of a saved run that goes on."""
    return list(score(job, run=run, **more))


def planned(events: list[Event]) -> Planned:
    (found,) = (event for event in events if isinstance(event, Planned))
    return found


def finished(events: list[Event]) -> Finished:
    assert isinstance(events[-1], Finished), events[-1]
    return events[-1]


def failed(events: list[Event]) -> Failed:
    assert isinstance(events[-1], Failed), events[-1]
    return events[-1]


def cells(events: list[Event]) -> list[tuple[str, int]]:
    """Setting and chunk of everything scored, in the order told."""
    return [(event.setting, event.chunk) for event in events if isinstance(event, ChunkScored)]


def stored_cells(run: Run) -> set[tuple[str, int]]:
    """Setting and chunk of everything that a run has stored."""
    return {(setting, chunk) for setting, chunks in run.scored().items() for chunk in chunks}


def numbers(report: Any) -> Any:
    """A report without what two equal runs differ in: time and memory."""
    if isinstance(report, dict):
        return {
            key: numbers(value)
            for key, value in report.items()
            if key not in ("seconds", "peak_memory_bytes")
        }
    return [numbers(item) for item in report] if isinstance(report, list) else report


def edit_weights(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite a model's weights after ``edit`` has changed the dict of its arrays."""
    import mlx.core as mx

    path = str(folder / "model.safetensors")
    weights: dict[str, Any] = dict(mx.load(path))  # type: ignore[arg-type]
    mx.eval(weights)
    edit(weights)
    mx.save_safetensors(path, weights, {"format": "mlx"})
