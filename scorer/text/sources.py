"""Reads the text of a corpus and its provenance.

:mod:`scorer.text.chunks` makes token chunks from the result.
"""

from __future__ import annotations

from pathlib import Path

from scorer.common.errors import InputError
from scorer.spec.corpora import hub_text
from scorer.spec.job import STANDARD_INPUT, CorpusSpec, TextProtocol
from scorer.text.source_text import Fetch, SourceText, join_documents


def read_source(
    spec: CorpusSpec,
    protocol: TextProtocol = "mqf",
    *,
    fetch: Fetch | None = None,
    text_file: Path | None = None,
) -> SourceText:
    """Read the text of a corpus.

    The protocol decides how WikiText-2 is joined and does not affect other sources.

    Args:
        spec: The corpus.
        protocol: ``mqf`` or ``llama.cpp``.
        fetch: Downloads a dataset file that is not cached; None for the default download.
        text_file: Holds the text that came from standard input; None where none did.

    Raises:
        CorpusNotCached: WikiText-2 is neither cached nor reachable, or a data set not cached.
        InputError: There is no such corpus or file, or it cannot be read as text.
    """
    source = spec.source
    if source == "wikitext2":
        from scorer.text.wikitext import read_wikitext2

        return read_wikitext2(protocol, fetch=fetch)
    if source == "builtin":
        from scorer.demo.corpus import builtin_documents

        text, documents = join_documents(builtin_documents())
        return SourceText.of("builtin", text, documents)
    if source == "code":
        from scorer.demo.code import code_documents

        text, documents = join_documents(code_documents())
        return SourceText.of("code", text, documents)
    if source == "languages":
        from scorer.demo.languages import language_documents

        text, documents = join_documents(language_documents())
        return SourceText.of("languages", text, documents)
    if (on_hub := hub_text(source)) is not None:
        from scorer.text.hub import read_hub_text

        return read_hub_text(on_hub)
    from scorer.text.files import CORPORA_HINT, read_text_file, text_of

    if source == STANDARD_INPUT:
        if text_file is None:
            raise InputError(
                "only `qfid kv` reads a text from standard input", "name a file of text instead"
            )
        try:
            data = text_file.read_bytes()
        except OSError as error:
            raise InputError(
                f"the text from standard input is not kept in `{text_file}` any more",
                "give it again: `qfid kv` with --corpus - starts a new run",
            ) from error
        return text_of("standard input", data)
    if not source.strip():
        raise InputError("no corpus was named", CORPORA_HINT)
    return read_text_file(Path(source))
