"""Which text is scored, with what a report must say about it.

Only text and offsets here; :mod:`scorer.corpus` makes token chunks of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scorer.errors import InputError
from scorer.job import CorpusSpec, Protocol

Fetch = Callable[[str, str, str], Path]
"""``fetch(repo, filename, revision)`` brings a dataset file into the local cache."""

Document = tuple[int, str]
"""Character offset where a document starts, and its title."""


@dataclass(frozen=True, slots=True)
class SourceText:
    """A text and where it comes from.

    Attributes:
        name: ``wikitext-2-raw``, ``builtin`` or the name of the file.
        split: Split of the dataset, None where there is none.
        revision: Commit of the dataset, None where there is none.
        text: The text. Of chat rows: one JSON list of messages a line.
        sha256: Hex SHA-256 of the text in UTF-8: the identity of the corpus.
        documents: Where each document starts, ascending; empty when unknown.
        chat: Each line is a list of messages for the model's chat template.
    """

    name: str
    split: str | None
    revision: str | None
    text: str
    sha256: str
    documents: tuple[Document, ...]
    chat: bool

    @classmethod
    def of(
        cls,
        name: str,
        text: str,
        documents: tuple[Document, ...] = (),
        *,
        split: str | None = None,
        revision: str | None = None,
        chat: bool = False,
    ) -> SourceText:
        """The source of ``text``, its hash computed.

        Raises:
            InputError: The text is empty or holds a lone surrogate, which UTF-8 cannot encode.
        """
        if not text.strip():
            raise InputError(f"`{name}` holds no text")
        try:
            digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
        except UnicodeEncodeError as error:
            raise InputError(
                f"`{name}` holds half a surrogate pair at character {error.start}",
                "save the text as UTF-8 again",
            ) from error
        return cls(name, split, revision, text, digest, documents, chat)


def read_source(
    spec: CorpusSpec, protocol: Protocol = "mqf", *, fetch: Fetch | None = None
) -> SourceText:
    """Read the text of a corpus.

    WikiText-2 is joined as ``protocol`` asks; every other source reads the same under both.

    Args:
        spec: Which corpus.
        protocol: ``mqf`` or ``llama.cpp``.
        fetch: Downloads a dataset file that is not cached; None for the default download.

    Raises:
        CorpusNotCached: WikiText-2 is neither cached nor reachable.
        InputError: There is no such corpus or file, or it cannot be read as text.
    """
    source = spec.source
    if source == "wikitext2":
        from scorer.wikitext import read_wikitext2

        return read_wikitext2(protocol, fetch=fetch)
    if source == "builtin":
        from scorer.demo.text import builtin_documents

        text, documents = join_documents(builtin_documents())
        return SourceText.of("builtin", text, documents)
    if not source.strip():
        raise InputError(
            "no corpus was named", "corpora: wikitext2, builtin, or a .txt .md .jsonl .parquet file"
        )
    from scorer.text_files import read_text_file

    return read_text_file(Path(source))


def join_documents(
    documents: list[tuple[str, str]], separator: str = "\n\n"
) -> tuple[str, tuple[Document, ...]]:
    """Join (title, text) pairs with ``separator``, as MQF joins rows.

    Returns:
        The text, and the character offset and title of each document.
    """
    starts: list[Document] = []
    offset = 0
    for title, text in documents:
        starts.append((offset, title))
        offset += len(text) + len(separator)
    return separator.join(text for _, text in documents), tuple(starts)
