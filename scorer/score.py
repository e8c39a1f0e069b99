"""Scores a job and yields its events; every batch is saved before its event."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

from scorer.common.error_text import first_line
from scorer.common.error_values import error_details
from scorer.common.errors import ModelChanged, QfidError, WillNotFit
from scorer.common.foreign_packages import foreign_import
from scorer.common.out_of_memory import is_out_of_memory
from scorer.common.process_limits import limit_reached
from scorer.device.host_memory import HostMemory, host_memory
from scorer.device.memory_watch import MemoryWatch
from scorer.engine.session import Session
from scorer.models.custom_code import Consent
from scorer.spec.events import Event, Failed, Hello, Loading
from scorer.spec.job import Job

if TYPE_CHECKING:
    from scorer.device.backend import Backend
    from scorer.engine.team import Team
    from scorer.runs.listing import Run


def never() -> bool:
    """Return False: the default of ``stop``."""
    return False


def nothing() -> None:
    """Do nothing: the default of ``closing``."""


def hello(backend: Backend) -> Hello:
    """Make the first event of a run, which describes the device and the libraries."""
    return Hello(
        device=backend.kind,
        device_name=backend.name,
        memory_total=backend.memory_total,
        memory_free=backend.memory_free,
        blas=backend.blas,
        versions=backend.versions,
    )


def failure(error: QfidError, run: Run | None = None) -> Failed:
    """Make the last event of a run that ends without a report.

    Args:
        error: The error that ended it.
        run: The saved run, if there is one. The event names it if it can be resumed.
    """
    saved = 0
    if run is not None:
        with contextlib.suppress(QfidError):
            saved = sum(map(len, run.scored().values()))
        if isinstance(error, ModelChanged) or not run.path.is_dir():
            run = None
    return Failed(
        error=type(error).__name__,
        message=error.message,
        hint=error.hint,
        exit_code=error.exit_code,
        run=None if run is None else run.id,
        saved=saved,
        details=error_details(error),
    )


def score(
    job: Job,
    *,
    run: str | None = None,
    stop: Callable[[], bool] = never,
    accept_changes: bool = False,
    allow_custom_code: Consent = False,
    light_imports: bool = False,
    text_file: Path | None = None,
    closing: Callable[[], None] = nothing,
    read_memory: Callable[[], HostMemory] = host_memory,
    out_of_memory: Callable[[WillNotFit], None] | None = None,
    join: Callable[[Backend], Team] | None = None,
    shard: str = "",
) -> Generator[Event, None, None]:
    """Score a job in this process.

    Args:
        job: What to score.
        run: Id of a saved run to continue; its missing chunks and settings are scored.
        stop: Called between tiles; True stops the run, with a report of what is scored.
        accept_changes: Continue ``run`` although its model, text or arithmetic have changed.
        allow_custom_code: Which Python files of the model's own may run: none, those of these names
            and hashes, or with True whatever is there. It is never stored.
        light_imports: Import mlx-lm without transformers; only for a process that does not need it.
        text_file: Holds the text where the job's corpus is standard input, for a new run.
        closing: Called after all scoring, before the report is made.
        read_memory: Returns the memory of the host; called repeatedly during the run.
        out_of_memory: Ends this process at once when memory is nearly exhausted; None to stop at
            the next tile.
        join: Meets the other ranks of the run, once MLX is there; None for a run of one process.
        shard: How these hold the model together; "" where each has its own.

    Yields:
        Hello first; Finished or Failed last. Errors of the input and of the run are events, not
        exceptions.
    """
    from scorer.device.backend import running_backend

    session: Session | None = None
    try:
        with (
            running_backend() as backend,
            MemoryWatch(read_memory, at_once=out_of_memory) as watch,
            contextlib.ExitStack() as texts,
        ):
            yield hello(backend)
            from scorer.engine.own_kernels import OwnKernels

            kernels = OwnKernels(job, backend.kind)
            from scorer.engine.text_process import TextProcess

            text = texts.enter_context(TextProcess())
            from scorer.lm.mlx_lm_import import import_mlx_lm

            import_mlx_lm(light=light_imports)
            shared = None
            if join is not None:
                from scorer.engine.ranks import SharedRun

                yield Loading("ranks")
                shared = SharedRun(join(backend), shard)
            session = Session(
                job,
                backend,
                run,
                stop,
                accept_changes,
                closing,
                watch,
                kernels,
                allow_custom_code,
                text_file,
                text,
                shared,
            )
            yield from session.events()
    except QfidError as error:
        yield failure(error, None if session is None else session.run)
    except (ImportError, SyntaxError) as error:
        foreign = foreign_import(error)
        if foreign is None:
            raise
        yield failure(foreign, None if session is None else session.run)
    except (MemoryError, RuntimeError, OSError) as error:
        shortage = limit_reached(error)
        if shortage is None and is_out_of_memory(error):
            shortage = _memory_error(error)
        if shortage is None:
            raise
        yield failure(shortage, None if session is None else session.run)


def _memory_error(error: BaseException) -> WillNotFit:
    return WillNotFit(
        f"out of memory: {first_line(error)}",
        "free memory, or score with --batch 1 or shorter chunks",
    )
