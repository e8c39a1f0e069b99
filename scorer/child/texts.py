"""Checks the texts of several jobs, for a process that reads none itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, Any

from scorer.common.errors import InputError, QfidError
from scorer.models.custom_code import consent_from_json
from scorer.spec.job import Job


def check_all(events: IO[str], requests: IO[bytes]) -> int:
    """Answer one request: an object with ``jobs``, ``allow_custom_code`` and ``text_file``.

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
    except (ValueError, TypeError, KeyError, QfidError):
        return InputError.exit_code
    try:
        found: list[Job | QfidError] = checked_texts(
            jobs,
            allow_custom_code=allowed,
            text_file=None if text_file is None else Path(text_file),
        )
    except QfidError as error:
        found = [error] * len(jobs)
    events.write(json.dumps({"texts": list(map(_answer, found))}) + "\n")
    events.flush()
    return 0


def _answer(found: Job | QfidError) -> dict[str, Any]:
    if isinstance(found, Job):
        return {"corpus": found.corpus.source}
    return {
        "error": type(found).__name__,
        "message": found.message,
        "hint": found.hint,
        "exit_code": found.exit_code,
    }
