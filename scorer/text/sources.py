"""Reads the text of a corpus and its provenance.

:mod:`scorer.text.chunks` makes token chunks from the result.
"""

from __future__ import annotations

from pathlib import Path

from scorer.common.errors import InputError
from scorer.spec.job import CorpusSpec, TextProtocol
from scorer.text.source_text import Fetch, SourceText, join_documents


def read_source(
    spec: CorpusSpec, protocol: TextProtocol = "mqf", *, fetch: Fetch | None = None
) -> SourceText:
    """Read the text of a corpus.

    The protocol decides how WikiText-2 is joined and does not affect other sources.

    Args:
        spec: The corpus.
        protocol: ``mqf`` or ``llama.cpp``.
        fetch: Downloads a dataset file that is not cached; None for the default download.

    Raises:
        CorpusNotCached: WikiText-2 is neither cached nor reachable.
        InputError: There is no such corpus or file, or it cannot be read as text.
    """
    source = spec.source
    if source == "wikitext2":
        from scorer.text.wikitext import read_wikitext2

        return read_wikitext2(protocol, fetch=fetch)
    if source == "builtin":
        from scorer.demo.text import builtin_documents

        text, documents = join_documents(builtin_documents())
        return SourceText.of("builtin", text, documents)
    if not source.strip():
        raise InputError(
            "no corpus was named", "corpora: wikitext2, builtin, or a .txt .md .jsonl .parquet file"
        )
    from scorer.text.files import read_text_file

    return read_text_file(Path(source))
