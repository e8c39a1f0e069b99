"""The loop around a run: a job in, events out, every batch saved before it is told."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from scorer.common.error_text import first_line
from scorer.common.errors import ModelNotCached, QfidError, WillNotFit
from scorer.common.out_of_memory import is_out_of_memory
from scorer.device.host_memory import HostMemory, host_memory
from scorer.device.memory_watch import MemoryWatch
from scorer.engine.session import Session
from scorer.spec.events import Event, Failed, Hello
from scorer.spec.job import Job

if TYPE_CHECKING:
    from scorer.device.backend import Backend
    from scorer.runs.listing import Run


def never() -> bool:
    """The ``stop`` of a run that nobody stops."""
    return False


def nothing() -> None:
    """The ``closing`` of a run that nobody else can end."""


def hello(backend: Backend) -> Hello:
    """The first event: who is scoring, on what."""
    return Hello(
        device=backend.kind,
        device_name=backend.name,
        memory_total=backend.memory_total,
        memory_free=backend.memory_free,
        blas=backend.blas,
        versions=backend.versions,
    )


def failure(error: QfidError, run: Run | None = None) -> Failed:
    """The last event of a run that ends without a report.

    Args:
        error: Why.
        run: The saved run, where there is one already; what it holds can be resumed.
    """
    saved = 0
    if run is not None:
        with contextlib.suppress(QfidError):
            saved = sum(map(len, run.scored().values()))
    return Failed(
        error=type(error).__name__,
        message=error.message,
        hint=error.hint,
        exit_code=error.exit_code,
        run=None if run is None else run.id,
        saved=saved,
        details={"repo": error.repo, "revision": error.revision}
        if isinstance(error, ModelNotCached)
        else {},
    )


def score(
    job: Job,
    *,
    run: str | None = None,
    stop: Callable[[], bool] = never,
    accept_changes: bool = False,
    light_imports: bool = False,
    closing: Callable[[], None] = nothing,
    read_memory: Callable[[], HostMemory] = host_memory,
    out_of_memory: Callable[[WillNotFit], None] | None = None,
) -> Iterator[Event]:
    """Score a job in this process.

    Args:
        job: What to score.
        run: Id of a saved run to continue; its missing chunks and settings are scored.
        stop: Asked between tiles; True ends the run in order, with a report of what is scored.
        accept_changes: Continue ``run`` although model, text or arithmetic differ from its own.
        light_imports: Import mlx-lm without transformers; only for a process of our own.
        closing: Called once all scoring is done, before the report is made.
        read_memory: Memory of the host now; looked at while the run works.
        out_of_memory: Ends this process at once where memory is all but gone; None leaves it to
            the next tile.

    Yields:
        Hello first; Finished or Failed last. Errors of the input and of the run are events, not
        exceptions.
    """
    from scorer.device.backend import start_backend

    session: Session | None = None
    try:
        backend = start_backend()
        yield hello(backend)
        with MemoryWatch(read_memory, at_once=out_of_memory) as watch:
            session = Session(job, backend, run, stop, accept_changes, closing, watch)
            from scorer.lm.mlx_lm_import import import_mlx_lm

            import_mlx_lm(light=light_imports)
            yield from session.events()
    except QfidError as error:
        yield failure(error, None if session is None else session.run)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        yield failure(_ran_out(error), None if session is None else session.run)


def _ran_out(error: BaseException) -> WillNotFit:
    return WillNotFit(
        f"out of memory: {first_line(error)}",
        "free memory, or score with --batch 1 or shorter chunks",
    )
