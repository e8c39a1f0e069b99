"""Checks the texts of several jobs, for a process that reads none itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from scorer.common.errors import InputError, QfidError
from scorer.models.custom_code import consent_from_json
from scorer.spec.job import Job

if TYPE_CHECKING:
    from scorer.engine.text_check import Device


def check_all(events: IO[str], requests: IO[bytes]) -> int:
    """Answer one request: ``jobs``, ``allow_custom_code``, ``text_file`` and ``memory``.

    The last says whether to look whether the jobs fit.

    Args:
        events: Where the answer goes, one JSON object: ``texts`` holds for each job its ``corpus``,
            or ``error``, ``message``, ``hint`` and ``exit_code``.
        requests: Where the request comes from, one line.

    Returns:
        Exit code: 0, or 2 where the request cannot be read.
    """
    from scorer.engine.text_check import checked_texts

    try:
        data: Any = json.loads(requests.readline())
        jobs = [Job.from_json(job) for job in data["jobs"]]
        text_file = data.get("text_file")
        allowed = consent_from_json(data.get("allow_custom_code", False))
        look = data.get("memory", False) is True
    except (ValueError, TypeError, KeyError, QfidError):
        return InputError.exit_code
    try:
        device = _device() if look else None
        found: list[Job | QfidError] = checked_texts(
            jobs,
            allow_custom_code=allowed,
            text_file=None if text_file is None else Path(text_file),
            device=device,
        )
    except QfidError as error:
        found = [error] * len(jobs)
    events.write(json.dumps({"texts": list(map(_answer, found))}) + "\n")
    events.flush()
    return 0


def _device() -> Device:
    """The device that scores, with the memory that a run may use."""
    from scorer.device.backend import start_backend
    from scorer.device.host_memory import memory_for_run
    from scorer.device.memory import device_memory
    from scorer.device.run_state import environment

    with environment:
        kind = start_backend().kind
        memory = device_memory(kind)
    return kind, memory_for_run(memory) if kind == "cpu" else memory


def _answer(found: Job | QfidError) -> dict[str, Any]:
    if isinstance(found, Job):
        return {"corpus": found.corpus.source}
    return {
        "error": type(found).__name__,
        "message": found.message,
        "hint": found.hint,
        "exit_code": found.exit_code,
    }
