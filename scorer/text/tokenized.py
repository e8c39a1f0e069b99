"""The tokens of a whole text, with what is known of the text and of its tokenizer."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.common.errors import InputError
from scorer.spec.job import TextProtocol
from scorer.spec.roles import OTHER, TEMPLATE
from scorer.text.chat_roles import MOST_ROLES
from scorer.text.chat_rows import Conversation
from scorer.text.source_text import SourceText
from scorer.text.tokens.cache import TokenizedText, cache_file, load_tokens, save_tokens
from scorer.text.tokens.tokenizer import TextTokenizer

_ARRAYS = (("ids", "<i4"), ("document_starts", "<i8"), ("roles", "|u1"))


@dataclass(frozen=True, slots=True, eq=False)
class TokenizedSource:
    """A tokenized text and its provenance.

    Attributes:
        name: As of :class:`~scorer.text.source_text.SourceText`, as are ``split``, ``revision``,
            ``sha256`` and ``chat``.
        split: See there.
        revision: See there.
        sha256: See there.
        chat: See there.
        titles: Title of every document; empty if the documents are unknown.
        ids: (n,) int32.
        document_starts: (d,) int64, index of the first token of each document, ascending.
        added_bos: The BOS token, where the tokenizer adds one by default; else None.
        tokenizer_sha256: Hex SHA-256 of the tokenizer's files.
        tokenizer_versions: Package to version of the libraries that decided the tokens.
        cautions: What the reader of a report should know of the tokenizer, one line each.
        roles: As of :class:`~scorer.text.tokens.cache.TokenizedText`, as are ``role_names``.
        role_names: See there.
    """

    name: str
    split: str | None
    revision: str | None
    sha256: str
    chat: bool
    titles: tuple[str, ...]
    ids: NDArray[np.int32]
    document_starts: NDArray[np.int64]
    added_bos: int | None
    tokenizer_sha256: str
    tokenizer_versions: dict[str, str]
    cautions: tuple[str, ...] = ()
    roles: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    role_names: tuple[str, ...] = ()

    def to_parts(self) -> tuple[dict[str, Any], bytes]:
        """Return it as JSON values and the bytes of its arrays, for another process."""
        arrays = [getattr(self, name).astype(dtype, copy=False) for name, dtype in _ARRAYS]
        names = [field.name for field in dataclasses.fields(self)]
        values = {name: getattr(self, name) for name in names if name not in dict(_ARRAYS)}
        sizes = [len(array) for array in arrays]
        return {**values, "sizes": sizes}, b"".join(array.tobytes() for array in arrays)

    @classmethod
    def from_parts(cls, values: dict[str, Any], data: bytes) -> TokenizedSource:
        """Return what :meth:`to_parts` was made of."""
        found = {name: values[name] for name in values if name in cls.__dataclass_fields__}
        offset = 0
        for (name, dtype), size in zip(_ARRAYS, values["sizes"], strict=True):
            array = np.frombuffer(data, dtype, size, offset)
            offset += array.nbytes
            found[name] = array.astype(array.dtype.newbyteorder("="))
        found |= {name: tuple(values[name]) for name in ("titles", "cautions", "role_names")}
        return cls(**found)


def tokenized_source(
    source: SourceText,
    tokenizer: TextTokenizer,
    *,
    protocol: TextProtocol = "mqf",
    cache_dir: Path | None = None,
) -> TokenizedSource:
    """Tokenize a whole text and note where it came from.

    Args:
        source: The text.
        tokenizer: The model's tokenizer.
        protocol: As of :func:`tokenize`.
        cache_dir: As of :func:`tokenize`.

    Raises:
        InputError: The tokenizer or the chat template fails on the text.
    """
    tokens = tokenize(source, tokenizer, protocol=protocol, cache_dir=cache_dir)
    return TokenizedSource(
        name=source.name,
        split=source.split,
        revision=source.revision,
        sha256=source.sha256,
        chat=source.chat,
        titles=tuple(title for _, title in source.documents) if len(tokens.document_starts) else (),
        ids=tokens.ids,
        document_starts=tokens.document_starts,
        added_bos=tokenizer.bos_token_id if tokenizer.adds_bos else None,
        tokenizer_sha256=tokenizer.sha256,
        tokenizer_versions=_versions(source, tokenizer),
        cautions=(*tokenizer.cautions, *tokens.cautions),
        roles=tokens.roles,
        role_names=tokens.role_names,
    )


def tokenize(
    source: SourceText,
    tokenizer: TextTokenizer,
    *,
    protocol: TextProtocol = "mqf",
    cache_dir: Path | None = None,
) -> TokenizedText:
    """Tokenize a whole text: in one call, or chat conversations line by line.

    Args:
        source: The text.
        tokenizer: The model's tokenizer.
        protocol: Part of the key of the cache.
        cache_dir: Folder for tokenized corpora; None for no caching.

    Raises:
        InputError: The tokenizer or the chat template fails on the text.
    """
    path = None
    if cache_dir is not None:
        path = cache_file(
            cache_dir,
            source.sha256,
            hashlib.sha256(repr([o for o, _ in source.documents]).encode()).hexdigest(),
            tokenizer.sha256,
            repr(sorted(_versions(source, tokenizer).items())),
            protocol,
            tokenizer.chat.sha256() if source.chat and tokenizer.chat else "",
        )
        if (cached := load_tokens(path)) is not None:
            return cached
    tokens = _chat_tokens(source, tokenizer) if source.chat else _text_tokens(source, tokenizer)
    if path is not None:
        save_tokens(path, tokens)
    return tokens


def _versions(source: SourceText, tokenizer: TextTokenizer) -> dict[str, str]:
    """The libraries that decide the tokens of a text."""
    if source.chat and tokenizer.chat is not None:
        return {**tokenizer.versions, **tokenizer.chat.versions}
    return tokenizer.versions


def _text_tokens(source: SourceText, tokenizer: TextTokenizer) -> TokenizedText:
    if not source.documents:
        return TokenizedText(tokenizer.encode(source.text), np.zeros(0, np.int64))
    ids, offsets = tokenizer.encode_with_offsets(source.text)
    if offsets is None:
        return TokenizedText(ids, np.zeros(0, np.int64))
    # An added EOS has offset 0, as a BOS has; the running maximum keeps the array sorted.
    begins = np.maximum.accumulate(offsets[:, 0])
    starts = np.array([offset for offset, _ in source.documents], np.int64)
    return TokenizedText(ids, np.searchsorted(begins, starts).astype(np.int64))


def _chat_tokens(source: SourceText, tokenizer: TextTokenizer) -> TokenizedText:
    rows: list[NDArray[np.int32]] = []
    roles: list[NDArray[np.uint8]] = []
    names: dict[str, int] = {TEMPLATE: 0}
    left_out: Counter[str] = Counter()
    for (_, title), line in zip(source.documents, source.text.split("\n"), strict=True):
        conversation = Conversation.from_line(line)
        try:
            # The template writes the special tokens, and none is added.
            ids = tokenizer.encode_conversation(conversation)
            found = tokenizer.conversation_roles(conversation, ids)
        except InputError as error:
            raise InputError(f"{title} of `{source.name}`: {error.message}", error.hint) from error
        rows.append(ids)
        codes = [_code(names, name) for name in found.names]
        roles.append(np.array(codes, np.uint8)[found.codes])
        left_out["text"] += found.messages_left_out
        left_out["tool calls"] += found.calls_left_out
    lengths = np.array([0, *(len(row) for row in rows[:-1])], np.int64)
    cautions = [
        f"the chat template leaves out the {what} of {n} message{'s' * (n != 1)}"
        for what, n in left_out.items()
        if n
    ]
    return TokenizedText(
        np.concatenate(rows),
        np.cumsum(lengths),
        np.concatenate(roles),
        tuple(names),
        tuple(cautions),
    )


def _code(names: dict[str, int], name: str) -> int:
    """The number of a role, a new one where there is room."""
    if name not in names and len(names) >= MOST_ROLES:
        name = OTHER
    return names.setdefault(name, len(names))
