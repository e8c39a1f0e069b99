"""The process that reads and tokenizes a text, which is bounded in time and memory.

Text, tokenizer and chat template are foreign; see :mod:`scorer.common.bounded_process`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scorer.common.bounded_process import Asked, BoundedProcess, nobody
from scorer.download.dataset_files import cached_split
from scorer.models.custom_code import Consent, consent_to_json
from scorer.models.info import ModelInfo
from scorer.spec.corpora import hub_text
from scorer.spec.job import STANDARD_INPUT, Job
from scorer.text.tokenized import TokenizedSource

# A first comparison of a tokenizer with mlx-lm's imports transformers, on a cold disk.
_LEAST_SECONDS = 120.0
# Tokenizers written in Python take a second for 50 000 bytes.
_BYTES_A_SECOND = 10_000
# WikiText-2 takes 0.4 GiB. One call of a tokenizer takes 150 bytes a byte, in windows of 2 MiB.
_LEAST_MEMORY = 4 << 30
_MEMORY_A_BYTE = 32
# Parquet is compressed.
_UNPACKED = 4
# Of the answer: ids, titles.
_LEAST_ANSWER = 1 << 30
_ANSWER_A_BYTE = 32


class TextProcess(BoundedProcess):
    """Reads and tokenizes one text. Started early: it imports while this process does."""

    def __init__(self) -> None:
        """Start the process.

        Raises:
            QfidError: It cannot be started.
        """
        super().__init__("--text")

    def begin(
        self,
        job: Job,
        info: ModelInfo,
        *,
        key: str | None,
        consent: Consent,
        text_file: Path | None,
        cache_dir: Path | None,
    ) -> None:
        """Let it read and tokenize the text of a job.

        Args:
            job: The job; its text is there, none is downloaded.
            info: The job's model.
            key: As of :func:`scorer.lm.tokenizer.comparison_key`; None to compute it there.
            consent: As of :func:`scorer.lm.tokenizer.load_tokenizer`.
            text_file: Holds the text that came from standard input; None where none did.
            cache_dir: Folder for tokenized texts; None for no caching.
        """
        source = job.corpus.source
        on_hub = hub_text(source)
        if on_hub is not None:
            found = cached_split(on_hub)
            size = 0 if found is None else _UNPACKED * found.size
        else:
            size = _size(text_file if source == STANDARD_INPUT else Path(source))
        self.ask(
            text_request(
                job, info, key=key, consent=consent, text_file=text_file, cache_dir=cache_dir
            ),
            f"reading the tokenizer of `{info.name}`",
            seconds=_LEAST_SECONDS + size / _BYTES_A_SECOND,
            memory=_LEAST_MEMORY + _MEMORY_A_BYTE * size,
            most=_LEAST_ANSWER + _ANSWER_A_BYTE * size,
            hint="another text, or a part of it, takes less; if not, pick another model",
        )

    def tokens(self, asked: Asked = nobody) -> TokenizedSource:
        """Wait for the tokens.

        Raises:
            QfidError: As of :meth:`~scorer.common.bounded_process.BoundedProcess.answer`.
        """
        return TokenizedSource.from_parts(*self.answer(asked))


def text_request(
    job: Job,
    info: ModelInfo,
    *,
    key: str | None,
    consent: Consent,
    text_file: Path | None,
    cache_dir: Path | None,
) -> dict[str, Any]:
    """What the process is asked; arguments as of :meth:`TextProcess.begin`."""
    source = job.corpus.source
    return {
        "model": str(info.path),
        "name": info.name,
        "key": key,
        "allow_custom_code": consent_to_json(consent),
        "corpus": source,
        "text": "standard input" if source == STANDARD_INPUT else f"`{source}`",
        "protocol": job.protocol,
        "text_file": None if text_file is None else str(text_file),
        "cache_dir": None if cache_dir is None else str(cache_dir),
    }


def _size(path: Path | None) -> int:
    """Bytes of a file; 0 where it cannot be told, which reading it says."""
    try:
        return 0 if path is None else path.expanduser().stat().st_size
    except (OSError, ValueError, RuntimeError):
        return 0
