"""Reads and tokenizes the texts of several jobs before any is scored, to say what cannot be.

The tokens are kept in the cache, where the runs find them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from scorer.common.device_kind import DeviceKind
from scorer.common.errors import QfidError, WillNotFit
from scorer.common.folders import cache_folder
from scorer.device.host_memory import HostMemory
from scorer.device.threads import worker_count
from scorer.engine.text_at_hand import text_at_hand
from scorer.engine.text_process import TextProcess
from scorer.fit.fitting import fitting
from scorer.fit.pass_size import PassSize, default_batch
from scorer.lm.tokenizer import comparison_key
from scorer.models.custom_code import Consent, check_consent, hashes
from scorer.models.info import ModelInfo
from scorer.models.measuring import with_exact_geometry
from scorer.models.resolve import resolve_model
from scorer.models.sizes import model_sizes
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.weights import sources_of
from scorer.text.chunks import full_chunks
from scorer.text.tokenized import TokenizedSource

Device = tuple[DeviceKind, HostMemory]
"""A device and its memory."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Read:
    """A text that was read: the job's name for it, pinned, and its tokens."""

    corpus: CorpusSpec
    tokens: TokenizedSource


def checked_texts(
    jobs: Sequence[Job],
    *,
    allow_custom_code: Consent = False,
    text_file: Path | None = None,
    device: Device | None = None,
) -> list[Job | QfidError]:
    """Check that the text of each job can be read and is long enough, and that the job fits.

    Each text is tokenized once, whatever the lengths. Data sets are downloaded where that is
    needed.

    Args:
        jobs: Jobs of one model.
        allow_custom_code: Which Python files of the model's own may run.
        text_file: Holds the text that came from standard input; None where none did.
        device: The device that scores, and its memory; None not to look whether a job fits. Jobs
            with weights of their own are not looked at: they may take turns.

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
    if device is None:
        return found
    info = with_exact_geometry(info)
    return [_fitted(each, info, *device) if isinstance(each, Job) else each for each in found]


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


def _fitted(job: Job, info: ModelInfo, kind: DeviceKind, memory: HostMemory) -> Job | QfidError:
    """The job, or the error with which its run would end before the model is loaded."""
    if sources_of(job.settings) or not info.geometry.exact:
        return job
    wanted = PassSize(
        job.batch or default_batch(kind, job.chunk_length), workers=worker_count(kind)
    )
    try:
        fitting(model_sizes(info), job, kind, memory, name=info.name, wanted=wanted)
    except WillNotFit as error:
        return error
    except QfidError:
        # What else is wrong the run says.
        return job
    return job


def _checked(job: Job, text: _Read | QfidError) -> Job | QfidError:
    if isinstance(text, QfidError):
        return text
    try:
        full_chunks(text.tokens.name, len(text.tokens.ids), job.chunk_length, job.protocol)
    except QfidError as error:
        return error
    return dataclasses.replace(job, corpus=text.corpus)
