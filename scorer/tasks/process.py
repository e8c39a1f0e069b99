"""The child process of tasks: ``python -m scorer --tasks``, its input, its end."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from typing import IO, Any

from scorer.child.ending import Ending
from scorer.child.process import die_with_parent, exit_at_end_of_input, write_event
from scorer.common.error_text import named_line
from scorer.common.errors import InputError, Interrupted, QfidError, WillNotFit
from scorer.common.foreign_packages import foreign_import
from scorer.common.offline import forbid_to_libraries
from scorer.common.out_of_memory import is_out_of_memory
from scorer.common.process_limits import leave_missing_folder, limit_reached
from scorer.device.memory_watch import MemoryWatch
from scorer.models.custom_code import Consent, consent_from_json
from scorer.score import failure, hello
from scorer.spec.events import Event, Finished, RequestsScored, TasksPlanned
from scorer.spec.tasks_job import TasksJob

TASKS = "--tasks"
"""What the child process is started with."""


class TasksEnding(Ending):
    """Ends the process where it does not come to its next tile in time: what is scored is saved."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._scored = ""

    def note(self, event: Event) -> None:
        """Record how much is saved."""
        if isinstance(event, TasksPlanned | RequestsScored):
            self._scored = f"{event.done} of {event.total} requests are saved"

    def _partial(self) -> Event:
        if not self._scored:
            return self._failure(Interrupted("stopped before the first request"))
        message = f"stopped; {self._scored}"
        return self._failure(Interrupted(message, "the same command goes on"))


def run_tasks(events: IO[str]) -> int:
    """Score the tasks that the first line of standard input asks for.

    Args:
        events: Where events go, one JSON object a line, flushed each.

    Returns:
        Exit code: 0 report, 1 a setting failed, 130 interrupted, else the error's.
    """
    forbid_to_libraries()
    leave_missing_folder()
    die_with_parent()
    ending = TasksEnding(lambda event: write_event(events, event))
    ending.listen()
    line = sys.stdin.buffer.readline()
    threading.Thread(target=exit_at_end_of_input, daemon=True).start()
    code = 1
    try:
        job, consent = _request(line)
        for event in tasks_events(job, ending, consent):
            ending.note(event)
            code = write_event(events, event, _code_of)
    except BrokenPipeError:
        return 1
    except QfidError as error:
        ending.close()
        return write_event(events, failure(error))
    except Exception as error:
        import traceback

        traceback.print_exc()
        known = limit_reached(error) or QfidError(
            f"internal error: {named_line(error)}", "please report it"
        )
        return write_event(events, failure(known))
    return code


def tasks_events(job: TasksJob, ending: Ending, consent: Consent) -> Iterator[Event]:
    """Score tasks in this process, which is theirs alone.

    Raises:
        QfidError: It ended without a report.
    """
    from scorer.device.backend import running_backend

    with contextlib.ExitStack() as stack:
        try:
            backend = stack.enter_context(running_backend())
            watch = stack.enter_context(MemoryWatch(at_once=ending.at_once))
            yield hello(backend)
            from scorer.lm.mlx_lm_import import import_mlx_lm

            import_mlx_lm(light=False)
            from scorer.tasks.session import TasksSession

            session = TasksSession(job, backend, ending.asked, watch, consent)
            yield from session.events()
        except (ImportError, SyntaxError) as error:
            raise foreign_import(error) or error from error
        except (MemoryError, RuntimeError, OSError) as error:
            shortage = limit_reached(error)
            if shortage is None and is_out_of_memory(error):
                shortage = WillNotFit(
                    f"out of memory: {named_line(error)}", "a batch of 1 takes less"
                )
            if shortage is None:
                raise
            raise shortage from error


def _request(line: bytes) -> tuple[TasksJob, Consent]:
    try:
        data: Any = json.loads(line)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise InputError("the first line of the input is no job of tasks in JSON")
    consent = consent_from_json(data.pop("allow_custom_code", False))
    return TasksJob.from_json(data), consent


def _code_of(event: Finished) -> int:
    return 1 if any(each["error"] is not None for each in event.report["settings"]) else 0
