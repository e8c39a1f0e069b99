"""What the child process does with its input, its signals and its events."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from scorer.child.ending import INTERRUPTED, Ending
from scorer.common.error_text import named_line
from scorer.common.errors import InputError, QfidError
from scorer.common.offline import forbid_to_libraries
from scorer.common.process_limits import (
    leave_missing_folder,
    limit_reached,
    working_folder_exists,
)
from scorer.models.custom_code import Consent, consent_from_json
from scorer.spec.events import Event, Failed, Finished, Planned
from scorer.spec.job import Job
from scorer.spec.ranks import Ranks

if TYPE_CHECKING:
    from scorer.child.team import StartedTeam

# The exit code of what has been said so far: an input that ends after the last event ends nothing.
_exit_code = 1
_writing = threading.Lock()


def run_child(events: IO[str], arguments: list[str]) -> int:
    """Score the job on standard input and write its events.

    Args:
        events: Where events go, one JSON object a line, flushed each.
        arguments: ``--probe`` writes only Hello, ``--rate`` times a product (see
            :mod:`scorer.child.rate`), ``--doctor`` one object of another kind (see
            :mod:`scorer.child.doctor`), ``--geometry`` one a model named on standard input (see
            :mod:`scorer.child.geometry`), ``--text`` and ``--spelling`` what foreign files say
            (see :mod:`scorer.child.foreign_text`), ``--relatives`` which cached models are another
            in another precision (see :mod:`scorer.child.relatives`), ``--texts`` whether the
            texts of several jobs can be scored (see :mod:`scorer.child.texts`), ``--rank`` takes
            part in the
            run of another process (see :mod:`scorer.child.rank`).

    Returns:
        Exit code: 0 report, 130 interrupted, else the error's.
    """
    forbid_to_libraries()
    folder_is_gone = not working_folder_exists()
    leave_missing_folder()
    if arguments == ["--probe"]:
        return _probe(events)
    if arguments[:1] == ["--rate"]:
        from scorer.child.rate import time_product

        return time_product(events, arguments[1:])
    if arguments == ["--doctor"]:
        return _doctor(events, folder_is_gone)
    if arguments == ["--geometry"]:
        from scorer.child.geometry import measure_all

        return measure_all(events, sys.stdin.buffer)
    die_with_parent()
    if arguments in (["--text"], ["--spelling"]):
        from scorer.child import foreign_text
        from scorer.child.answering import answer

        text = arguments == ["--text"]
        prepare = foreign_text.prepare_tokens if text else foreign_text.prepare_spelling
        return answer(events, sys.stdin.buffer, prepare)
    if arguments == ["--texts"]:
        from scorer.child.texts import check_all

        return check_all(events, sys.stdin.buffer)
    if arguments == ["--rank"]:
        from scorer.child.rank import run_rank

        return run_rank(events, sys.stdin.buffer)
    if arguments == ["--relatives"]:
        from scorer.child.answering import answer
        from scorer.child.relatives import prepare_relatives

        return answer(events, sys.stdin.buffer, prepare_relatives)
    ending = Ending(lambda event: write_event(events, event))
    try:
        ending.listen()
        line = sys.stdin.buffer.readline()
        threading.Thread(target=exit_at_end_of_input, daemon=True).start()
    except RuntimeError as error:
        shortage = limit_reached(error)
        if shortage is None:
            raise
        return write_event(events, _failure(shortage, ""))
    try:
        request = _read_request(line)
    except QfidError as error:
        return write_event(events, Failed(type(error).__name__, error.message, error.hint, 2))
    return _score(events, request, ending)


def _score(events: IO[str], request: _Request, ending: Ending) -> int:
    from scorer.lm.torch_later import without_torch
    from scorer.score import score

    if not request.allow_custom_code:
        without_torch()
    code, planned = 1, ""
    team: StartedTeam | None = None
    try:
        if request.ranks is not None:
            from scorer.child.team import StartedTeam

            team = StartedTeam(request.ranks, request.job, ending.at_once)
        for event in score(
            request.job,
            run=request.run,
            stop=ending.asked,
            accept_changes=request.accept_changes,
            allow_custom_code=request.allow_custom_code,
            light_imports=True,
            text_file=request.text_file,
            closing=ending.close,
            out_of_memory=ending.at_once,
            join=None if team is None else team.join,
            shard="" if request.ranks is None else request.ranks.shard,
        ):
            ending.note(event)
            if isinstance(event, Planned):
                planned = event.run
            code = write_event(events, event)
    except BrokenPipeError:
        return 1
    except QfidError as error:
        return write_event(events, _failure(error, planned))
    except Exception as error:
        import traceback

        traceback.print_exc()
        shortage = limit_reached(error)
        message = f"internal error: {named_line(error)}"
        return write_event(
            events, _failure(shortage or QfidError(message, "please report it"), planned)
        )
    finally:
        if team is not None:
            team.close()
    return code


def _failure(error: QfidError, run: str) -> Failed:
    """The last event where scoring ended by an exception, with what its run has saved."""
    from scorer.runs.listing import find_run
    from scorer.score import failure

    with contextlib.suppress(QfidError, OSError):
        return failure(error, find_run(run) if run else None)
    return failure(error)


def write_event(
    events: IO[str], event: Event, code_of: Callable[[Finished], int] | None = None
) -> int:
    """Write one event; return the exit code the run has if this was the last one.

    Args:
        events: Where events go.
        event: The event.
        code_of: The exit code of a finished run; None for that of a run of chunks.
    """
    global _exit_code
    with _writing:
        if code_of is not None and isinstance(event, Finished):
            _exit_code = code_of(event)
        else:
            _exit_code = _code_of(event)
        events.write(event.to_line())
        events.flush()
        return _exit_code


def _code_of(event: Event) -> int:
    if isinstance(event, Failed):
        return event.exit_code
    if isinstance(event, Finished):
        if not event.complete:
            return INTERRUPTED
        from scorer.report.tree import Report

        failed = any(row.failure is not None for row in Report.from_json(event.report).settings)
        return 1 if failed else 0
    return 1


@dataclass(frozen=True, slots=True)
class _Request:
    """What stands on the first line of the input: a job, and what is no part of it.

    Attributes:
        job: What to score.
        run: Id of a saved run to continue, or None.
        accept_changes: Continue it although its conditions have changed.
        allow_custom_code: Which Python files of the model's own may run.
        text_file: Holds the text that came from standard input; None where none did.
        ranks: The processes that share the run; None for this one alone.
    """

    job: Job
    run: str | None
    accept_changes: bool
    allow_custom_code: Consent
    text_file: Path | None
    ranks: Ranks | None


def _read_request(line: bytes) -> _Request:
    try:
        data: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError("the first line of the input is not a job in JSON") from None
    if not isinstance(data, dict):
        raise InputError("the first line of the input is not a job in JSON")
    run = data.pop("run", None)
    accept_changes = data.pop("accept_changes", False)
    if not isinstance(run, str | None) or not isinstance(accept_changes, bool):
        raise InputError("`run` must be a run's id, `accept_changes` true or false")
    allowed = consent_from_json(data.pop("allow_custom_code", False))
    text_file = data.pop("text_file", None)
    if not isinstance(text_file, str | None):
        raise InputError("`text_file` must be a path")
    path = None if text_file is None else Path(text_file)
    ranks = data.pop("ranks", None)
    shared = None if ranks is None else Ranks.from_json(ranks)
    return _Request(Job.from_json(data), run, accept_changes, allowed, path, shared)


def exit_at_end_of_input() -> None:
    """The input ends when the parent is gone: everything finished is saved, so just end."""
    with contextlib.suppress(OSError, ValueError):
        while os.read(0, 4096):
            pass
    os._exit(_exit_code)


def die_with_parent() -> None:
    """On Linux the kernel kills this process when its parent dies, even inside a blocked call."""
    if platform.system() == "Linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


def _probe(events: IO[str]) -> int:
    from scorer.device.backend import start_backend
    from scorer.score import hello

    try:
        write_event(events, hello(start_backend()))
    except QfidError as error:
        return write_event(events, Failed(type(error).__name__, error.message, error.hint, 2))
    return 0


def _doctor(events: IO[str], folder_is_gone: bool) -> int:
    from scorer.child.doctor import examine
    from scorer.device.run_state import environment

    with environment:
        found = examine(folder_is_gone=folder_is_gone)
    events.write(json.dumps(found) + "\n")
    events.flush()
    return 0 if found["error"] is None else InputError.exit_code
