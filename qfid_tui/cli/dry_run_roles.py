"""``--dry-run`` of a chat text: how many positions each role has, counted in a bounded process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scorer.models.info import ModelInfo
    from scorer.spec.job import Job


def role_lines(job: Job, info: ModelInfo) -> Iterator[str]:
    """The chunks and positions of a chat text by role; nothing of other texts.

    Raises:
        InputError: The text cannot be scored: it is malformed, the chat template refuses a row, or
            it has no token of the roles that are asked for.
        WillNotFit: The model's tokenizer takes too much memory.
    """
    from scorer.common.folders import cache_folder
    from scorer.engine.text_process import TextProcess
    from scorer.models.custom_code import hashes
    from scorer.spec.corpora import NAMED
    from scorer.spec.job import STANDARD_INPUT
    from scorer.text.chunks import cut_corpus

    # Of a text that nobody says anything in there is nothing to count, but an error of --roles.
    if job.corpus.source == STANDARD_INPUT or (job.corpus.source in NAMED and not job.roles):
        return
    with TextProcess() as text:
        text.begin(
            job,
            info,
            key=None,
            consent=hashes(info.code),
            text_file=None,
            cache_dir=cache_folder() / "tokens",
        )
        tokens = text.tokens()
    corpus = cut_corpus(
        tokens,
        protocol=job.protocol,
        chunk_length=job.chunk_length,
        chunks=job.chunks,
        max_chunks=job.max_chunks,
        tokenizer_id=info.name,
        roles=job.roles,
        first=max(setting.start for setting in job.settings),
    )
    if corpus.roles is None:
        return
    yield (
        f"text: {len(corpus.indices)} of {corpus.total} chunks of {corpus.chunk_length} tokens are "
        "scored; positions by role:"
    )
    for role, count in sorted(corpus.role_positions.items(), key=lambda item: -item[1]):
        counts = not job.roles or role in job.roles
        yield f"  {role}: {count}{'' if counts else ', does not count'}"
    for warning in corpus.warnings:
        yield f"  {warning}"
