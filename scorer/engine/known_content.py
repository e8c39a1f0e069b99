"""What a run says of its model's files: their state when it begins, their hashes once known."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from scorer.models.file_hashes import digest_of, model_files
from scorer.models.info import ModelInfo
from scorer.models.model_content import ModelContent
from scorer.runs.facts import RunFacts, StoredFacts
from scorer.runs.identity import Identity

CONTENT = "model content"
"""The field of a run's identity that holds one hash of all that was read of the model.

None while it is not known; runs of earlier versions lack it.
"""


def model_identity(info: ModelInfo, content: ModelContent) -> dict[str, str | None]:
    """The fields of a run's identity that say which model it is of."""
    return {
        "model": info.name,
        "model revision": info.revision or "none",
        "model files": digest_of(model_files(info.path)),
        CONTENT: content.digest(),
    }


def stored_identity(facts: StoredFacts, content: ModelContent) -> Identity:
    """The identity of a saved run, with what the state of its files adds to it.

    A run that ended before its files were hashed knows their state. Where that is the present one,
    so is their content; where it is not, nothing can tell whether the content is.

    Args:
        facts: Facts of the saved run.
        content: The model's files now, all hashed.
    """
    if facts.identity.get(CONTENT) is not None or not facts.files:
        return facts.identity
    same = facts.files == content.stamps
    return {**facts.identity, CONTENT: content.digest() if same else "replaced before hashed"}


def files_and_hashes(content: ModelContent) -> dict[str, str | int]:
    """File name to SHA-256; to size in bytes where the hash is not there yet."""
    sizes = {name: stamp.size for name, stamp in content.stamps.items()}
    return sizes | content.known_hashes()


def is_recorded(facts: StoredFacts) -> bool:
    """Whether the hashes stand in the facts, in the identity and file by file.

    The last hash can become known after the one was written and before the other.
    """
    files = {} if facts.run is None else facts.run.model_files
    by_file = all(isinstance(known, str) for known in files.values())
    return facts.identity.get(CONTENT) is not None and by_file


def with_hashes(facts: StoredFacts, content: ModelContent) -> StoredFacts:
    """Facts of a run with the hashes of its model's files, all of them known.

    Raises:
        QfidError: A file was changed since the run began.
    """
    identity: Mapping[str, str | int | float | bool | None] = {
        **facts.identity,
        CONTENT: content.digest(),
    }
    run = facts.run
    if run is not None:
        warnings = dict.fromkeys((*run.warnings, *content_warnings(run, content)))
        run = dataclasses.replace(
            run, model_files=files_and_hashes(content), warnings=tuple(warnings)
        )
    return dataclasses.replace(facts, identity=identity, run=run)


def content_warnings(run: RunFacts, content: ModelContent) -> list[str]:
    """What the reader should know of the model's files, all of them hashed."""
    foreign = content.foreign_blobs() if run.model_revision is not None else []
    if not foreign:
        return []
    return [
        f"{', '.join(foreign)} of the local copy is not what revision {run.model_revision} of the "
        "repo has: it was changed after the download"
    ]
