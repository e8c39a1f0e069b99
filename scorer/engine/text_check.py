"""Reads and tokenizes the texts of several jobs before any is scored, to say what cannot be.

The tokens are kept in the cache, where the runs find them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from scorer.common.errors import QfidError
from scorer.common.folders import cache_folder
from scorer.engine.text_at_hand import text_at_hand
from scorer.engine.text_process import TextProcess
from scorer.lm.tokenizer import comparison_key
from scorer.models.custom_code import Consent, check_consent, hashes
from scorer.models.info import ModelInfo
from scorer.models.resolve import resolve_model
from scorer.spec.job import CorpusSpec, Job
from scorer.text.chunks import full_chunks
from scorer.text.tokenized import TokenizedSource


@dataclasses.dataclass(frozen=True, slots=True)
class _Read:
    """A text that was read: the job's name for it, pinned, and its tokens."""

    corpus: CorpusSpec
    tokens: TokenizedSource


def checked_texts(
    jobs: Sequence[Job], *, allow_custom_code: Consent = False, text_file: Path | None = None
) -> list[Job | QfidError]:
    """Check that the text of each job can be read and is long enough.

    Each text is tokenized once, whatever the lengths. Data sets are downloaded where that is
    needed.

    Args:
        jobs: Jobs of one model.
        allow_custom_code: Which Python files of the model's own may run.
        text_file: Holds the text that came from standard input; None where none did.

    Returns:
        For each job the job, with its text pinned, or why it cannot be scored.

    Raises:
        QfidError: The model cannot be read.
    """
    first = jobs[0]
    info = resolve_model(first.model, first.revision, allow_custom_code=True)
    check_consent(info.code, allow_custom_code, of_model=info.custom_code is not None)
    texts: dict[object, _Read | QfidError] = {}
    found: list[Job | QfidError] = []
    for job in jobs:
        # All that decides the tokens.
        known = dataclasses.replace(job, settings=first.settings, chunk_length=first.chunk_length)
        if known not in texts:
            texts[known] = _read(job, info, text_file)
        found.append(_checked(job, texts[known]))
    return found


def _read(job: Job, info: ModelInfo, text_file: Path | None) -> _Read | QfidError:
    try:
        steps = text_at_hand(job)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                job = end.value
                break
        with TextProcess() as text:
            text.begin(
                job,
                info,
                key=comparison_key(info.path),
                consent=hashes(info.code),
                text_file=text_file,
                cache_dir=cache_folder() / "tokens",
            )
            return _Read(job.corpus, text.tokens())
    except QfidError as error:
        return error


def _checked(job: Job, text: _Read | QfidError) -> Job | QfidError:
    if isinstance(text, QfidError):
        return text
    try:
        full_chunks(text.tokens.name, len(text.tokens.ids), job.chunk_length, job.protocol)
    except QfidError as error:
        return error
    return dataclasses.replace(job, corpus=text.corpus)
