"""A text read, tokenized and cut in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scorer.spec.job import CorpusSpec, TextProtocol
from scorer.text.chunks import ChunkedCorpus, cut_corpus
from scorer.text.source_text import Fetch
from scorer.text.sources import read_source
from scorer.text.tokenized import tokenized_source
from scorer.text.tokens.tokenizer import TextTokenizer


def build_corpus(
    spec: CorpusSpec,
    tokenizer: TextTokenizer,
    *,
    protocol: TextProtocol = "mqf",
    fetch: Fetch | None = None,
    cache_dir: Path | None = None,
    **options: Any,
) -> ChunkedCorpus:
    """What a run scores of a text; options as of :func:`scorer.text.chunks.cut_corpus`."""
    source = read_source(spec, protocol, fetch=fetch)
    tokens = tokenized_source(source, tokenizer, protocol=protocol, cache_dir=cache_dir)
    return cut_corpus(tokens, protocol=protocol, **options)
