"""``job.json``, what was asked of a run, and how its small JSON files are read.

Pure standard library: the app lists runs before anything heavy is imported.
"""

from __future__ import annotations

import json
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
