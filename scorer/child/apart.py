"""Scoring for another program: in its own process, or in a child where that would not do.

MLX reads once whether float32 products are rounded to TensorFloat-32 on a GPU, and once where
compiled kernels are kept. In a program around us both would be too late, or for good.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Generator
from typing import Any

from scorer.common.child_end import died
from scorer.common.errors import QfidError
from scorer.common.process_limits import limit_reached
from scorer.common.python_command import python_command
from scorer.common.python_hints import in_python
from scorer.models.custom_code import consent_to_json
from scorer.spec.events import Event, Failed, Finished, parse_line
from scorer.spec.job import Job
from scorer.spec.ranks import Ranks

COMMAND = python_command("scorer")
_SECONDS_TO_END = 5.0


def scored_for_program(
    job: Job,
    *,
    allow_custom_code: bool,
    run: str | None = None,
    accept_changes: bool = False,
    ranks: Ranks | None = None,
) -> Generator[Event]:
    """Score a job for the program around us; closing the generator ends the run.

    Args:
        job: What to score.
        allow_custom_code: Whether the model's own Python files may run, whatever they are.
        run: Id of a saved run to continue.
        accept_changes: Continue it although its model, text or arithmetic have changed.
        ranks: The processes that share the run; None for one.

    Yields:
        As :func:`scorer.score.score`.

    Raises:
        QfidError: The child process cannot be started, or ended without a last event.
    """
    if ranks is not None or needs_child():
        request = job.to_json() | {"allow_custom_code": consent_to_json(allow_custom_code)}
        request |= {"run": run, "accept_changes": accept_changes}
        if ranks is not None:
            request["ranks"] = ranks.to_json()
        yield from in_child(request)
        return
    from scorer.score import score

    options: dict[str, Any] = {
        "run": run,
        "accept_changes": accept_changes,
        "allow_custom_code": allow_custom_code,
    }
    yield from score(job, **{name: value for name, value in options.items() if value})


def needs_child() -> bool:
    """Whether the numbers, or the program's own later, would depend on who uses MLX first."""
    from scorer.device.backend import start_backend
    from scorer.device.run_state import FULL_FLOAT32

    variable, value = FULL_FLOAT32
    if os.environ.get(variable) == value:
        return False
    try:
        return start_backend().kind != "cpu"
    except (QfidError, ImportError, SyntaxError):
        # Scoring says what is missing.
        return False


def in_child(request: dict[str, Any], *arguments: str) -> Generator[Event]:
    """Give a request to a child process; closing the generator ends it.

    Args:
        request: What stands on the first line of its input.
        arguments: What it is started with.

    Yields:
        Its events.

    Raises:
        QfidError: It cannot be started, or ended without a last event.
    """
    try:
        child = subprocess.Popen(
            (*COMMAND, *arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
    except OSError as error:
        raise limit_reached(error) or QfidError(
            f"the scorer cannot be started: {error.strerror or error}"
        ) from error
    assert child.stdin is not None and child.stdout is not None
    try:
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(json.dumps(request).encode() + b"\n")
            child.stdin.flush()
        for line in child.stdout:
            event = parse_line(line)
            if event is not None:
                yield event
            if isinstance(event, Finished | Failed):
                return
    finally:
        # The child ends with its input.
        for pipe in (child.stdin, child.stdout):
            with contextlib.suppress(OSError):
                pipe.close()
        try:
            child.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    dead = died(child.returncode)
    dead.hint = in_python(dead.hint)
    raise dead
