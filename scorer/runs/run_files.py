"""The small JSON files of a run's folder: ``job.json``, what was asked, and ``state.json``.

Pure standard library: the app lists runs before anything heavy is imported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scorer.common.atomic_files import write_atomic
from scorer.common.errors import InputError
from scorer.runs.identity import identity_hash, is_identity
from scorer.spec.job import Job

RUN_SCHEMA = 1
"""Number of the layout of ``job.json``."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A setting that gave no usable number: the class of its error, its message and hint."""

    error: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class RunState:
    """What ``state.json`` holds; all of it can be lost.

    Attributes:
        failures: Setting to why it failed.
        complete: Settings that the stored report covers.
        counted: ``StoredCounts.to_json`` of the positions file when the report was stored.
    """

    failures: dict[str, Failure]
    complete: tuple[str, ...]
    counted: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> RunState:
        """Read it; what is not as :meth:`write` writes it is left out."""
        try:
            data = json_object(folder / "state.json")
        except InputError:
            data = {}
        failures, complete, counted = map(data.get, ("failures", "complete", "counted"))
        return cls(
            failures={
                setting: Failure(values["error"], values["message"], values["hint"])
                for setting, values in (failures if isinstance(failures, dict) else {}).items()
                if isinstance(values, dict)
                and all(isinstance(values.get(key), str) for key in ("error", "message", "hint"))
            },
            complete=tuple(map(str, complete)) if isinstance(complete, list) else (),
            counted=counted if isinstance(counted, dict) else {},
        )

    def write(self, folder: Path) -> None:
        """Store it in a run's folder.

        Raises:
            QfidError: The file could not be written.
        """
        write_atomic(folder / "state.json", json.dumps(asdict(self), indent=1) + "\n")

    def covers(self, job: Job) -> bool:
        """Whether the stored report is about every setting of a job."""
        return {str(setting) for setting in job.settings} <= set(self.complete)


def job_json(job: Job, facts: Mapping[str, Any], created: str) -> str:
    """The text of a run's ``job.json``.

    Raises:
        ValueError: ``facts["identity"]`` is no flat object, or the facts are no JSON.
    """
    identity = facts.get("identity")
    if not is_identity(identity):
        raise ValueError("facts['identity'] must be a flat object of strings and numbers")
    data = {
        "schema": RUN_SCHEMA,
        "job": job.to_json(),
        "facts": dict(facts),
        "created": created,
        "identity": identity_hash(identity),
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
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not JSON") from error
    if not isinstance(data, dict):
        raise InputError(f"{name} is not a JSON object")
    return data
