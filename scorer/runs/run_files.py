"""``job.json``, what was asked of a run, and how its small JSON files are read.

Pure standard library: the app lists runs before anything heavy is imported.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scorer.common.errors import InputError
from scorer.common.json_reader import decoded_object
from scorer.runs.facts import StoredFacts
from scorer.runs.identity import identity_hash, is_identity
from scorer.spec.job import Job

RUN_SCHEMA = 1
"""Number of the layout of ``job.json``."""


def job_json(job: Job, facts: StoredFacts, created: str) -> str:
    """The text of a run's ``job.json``.

    Raises:
        ValueError: The identity is no flat object, or the facts hold an infinite number.
    """
    if not is_identity(facts.identity):
        raise ValueError("the identity must be a flat object of strings and numbers")
    data = {
        "schema": RUN_SCHEMA,
        "job": job.to_json(),
        "facts": facts.to_json(),
        "created": created,
        "identity": identity_hash(facts.identity),
    }
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a small file of a run.

    Raises:
        InputError: There is no such file, or it holds something else.
    """
    name = f"`{path.name}` of run `{path.parent.name}`"
    try:
        if not path.is_file() or path.is_symlink():
            raise InputError(f"{name} is missing")
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}") from error
    return decoded_object(text, name)


@dataclass(frozen=True, slots=True)
class JobFile:
    """What ``job.json`` of a run holds.

    Attributes:
        job: What was asked.
        created: When the run began, ISO 8601 in UTC.
        facts: The stored facts as JSON values; their identity is checked.
    """

    job: Job
    created: str
    facts: dict[str, Any]


def read_job_file(folder: Path) -> JobFile:
    """Read the ``job.json`` of a run.

    Args:
        folder: The run's folder.

    Raises:
        InputError: There is none, it is malformed, or another version wrote it.
    """
    run = folder.name
    data = json_object(folder / "job.json")
    if data.get("schema") != RUN_SCHEMA or type(data["schema"]) is not int:
        raise InputError(
            f"run `{run}` was written by another version of qfid "
            f"(schema `{str(data.get('schema'))[:20]}`, not `{RUN_SCHEMA}`)"
        )
    facts, created = data.get("facts"), data.get("created")
    if not isinstance(facts, dict) or not isinstance(created, str):
        raise InputError(f"`job.json` of run `{run}` lacks its facts or its date")
    try:
        job = Job.from_json(data.get("job"))
        created = datetime.fromisoformat(created).astimezone(UTC).isoformat()
    except (InputError, ValueError, OverflowError) as error:
        cause = error.message if isinstance(error, InputError) else str(error)
        raise InputError(f"`job.json` of run `{run}`: {' '.join(cause.split())}") from error
    identity = facts.get("identity")
    if not is_identity(identity) or data.get("identity") != identity_hash(identity):
        raise InputError(f"`job.json` of run `{run}` does not match its own identity")
    return JobFile(job, created, facts)
