"""A text with its provenance: name, hash, document offsets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scorer.common.errors import InputError

Fetch = Callable[[str, str, str], Path]
"""``fetch(repo, filename, revision)`` downloads a dataset file and returns its path."""

Document = tuple[int, str]
"""Character offset of the start of a document, and its title."""


@dataclass(frozen=True, slots=True)
class SourceText:
    """A text and its provenance.

    Attributes:
        name: ``wikitext-2-raw``, ``builtin`` or the name of the file.
        split: Split of the dataset, or None.
        revision: Commit of the dataset, or None.
        text: The text; for chat rows, one JSON list of messages per line.
        sha256: Hex SHA-256 of the text in UTF-8, the identity of the corpus.
        documents: The documents, ascending; empty if unknown.
        chat: Whether each line is a list of messages for the model's chat template.
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
        """Make the source of a text and compute its hash.

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


def join_documents(
    documents: Sequence[tuple[str, str]], separator: str = "\n\n"
) -> tuple[str, tuple[Document, ...]]:
    """Join (title, text) pairs with ``separator``, as mlx-quant-fidelity joins rows.

    Returns:
        The text, and the character offset and title of each document.
    """
    starts: list[Document] = []
    offset = 0
    for title, text in documents:
        starts.append((offset, title))
        offset += len(text) + len(separator)
    return separator.join(text for _, text in documents), tuple(starts)
