"""The interface of tokenizers, and one for ``tokenizer.json`` without transformers.

Importing transformers takes a second. For most models ``tokenizers`` gives the same ids in 0.02 s;
:mod:`scorer.lm.tokenizer` finds out for which.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.common.errors import InputError
from scorer.text.chat_roles import TokenRoles
from scorer.text.chat_rows import Conversation
from scorer.text.tokens.faults import as_ids, check_growth, explained
from scorer.text.tokens.long_text import WINDOW, Encoded, encode_in_windows
from scorer.text.tokens.pieces import PieceBytes, piece_bytes_of

Ids = NDArray[np.int32]

CHAT_HINT = "change that row, or give rows with `text` instead of `messages`"
NO_TEMPLATE_HINT = "give rows with `text` instead of `messages`, or pick an instruct model"


@dataclass(frozen=True, slots=True, eq=False)
class ChatEncoder:
    """How conversations become tokens.

    Attributes:
        encode: Returns the ids of a conversation, those that the chat template writes included.
        sha256: Returns the hex SHA-256 of the files that determine them.
        versions: Package to version of the libraries that do.
        roles: Returns whose each id of a conversation is; None where this is not known how.
    """

    encode: Callable[[Conversation], list[int]]
    sha256: Callable[[], str]
    versions: Mapping[str, str]
    roles: Callable[[Conversation, Sequence[int]], TokenRoles] | None = None


class TextTokenizer(ABC):
    """Converts text to token ids and back.

    Attributes:
        name: Repo id if it was read from the Hugging Face cache, else the folder's name.
        sha256: Hex SHA-256 of the files that determine the ids.
        versions: Package to version of the libraries that decide the ids of a text.
        chat: Encodes conversations; None where this is not known how.
        cautions: What the reader of a report should know of the tokenizer, one line each.
        adds_bos: Whether the default encoding adds a BOS token.
    """

    def __init__(self, name: str, sha256: str, versions: Mapping[str, str]) -> None:
        self.name = name
        self.sha256 = sha256
        self.versions = dict(versions)
        self.chat: ChatEncoder | None = None
        self.cautions: tuple[str, ...] = ()
        with_special, without = list(self._ids("a", True)), list(self._ids("a", False))
        self._affixes = _affixes(with_special, without)
        # An appended EOS makes the encoding longer too. Only a different first token is a BOS.
        self.adds_bos: bool = len(with_special) > len(without) and (
            not without or with_special[0] != without[0]
        )
        self._probed_bos = int(with_special[0]) if self.adds_bos else None

    @abstractmethod
    def _ids(self, text: str, special_tokens: bool) -> list[int] | Ids:
        """Return the ids of ``text``, with special tokens as in the default encoding if asked."""

    @abstractmethod
    def encode_with_offsets(self, text: str) -> tuple[Ids, NDArray[np.int64] | None]:
        """Encode text with special tokens and return the offsets of the tokens.

        Returns:
            (n,) int32 ids, and (n, 2) int64, first and past-the-end character of each token
            ((0, 0) for added tokens), or None if the tokenizer does not support offsets.

        Raises:
            InputError: The vocabulary has no token for a part of the text.
        """

    @abstractmethod
    def decode(self, ids: NDArray[np.integer[Any]] | list[int]) -> str:
        """Return the text of token ids, including special tokens.

        Args:
            ids: (n,) of any integer dtype, or a list.
        """

    @abstractmethod
    def token_bytes(self, token: int) -> bytes:
        """Return the bytes of one token, possibly only a part of a UTF-8 character.

        Returns:
            The bytes; empty for an id that is not in the vocabulary.
        """

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Largest id of the vocabulary, including added tokens, plus 1."""

    @abstractmethod
    def _configured_bos(self) -> int | None:
        """Return the id of the BOS token in the configuration, or None."""

    def encode(self, text: str, *, special_tokens: bool = True) -> Ids:
        """Encode text.

        Args:
            text: The text.
            special_tokens: Add the tokens that the tokenizer adds by default (BOS, EOS).

        Returns:
            (n,) int32 ids.

        Raises:
            InputError: The vocabulary has no token for a part of the text.
        """
        return as_ids(self._ids(text, special_tokens), self.name)

    def encode_list(self, text: str) -> list[int]:
        """Return the ids of the default encoding of a text; see :meth:`encode`."""
        ids: list[int] = self.encode(text).tolist()
        return ids

    @property
    def bos_token_id(self) -> int | None:
        """The first token of the default encoding, else the configured BOS, else None."""
        return self._configured_bos() if self._probed_bos is None else self._probed_bos

    def encode_conversation(self, conversation: Conversation) -> Ids:
        """Encode a conversation with the model's chat template.

        Returns:
            (n,) int32 ids.

        Raises:
            InputError: The model has no chat template, or it refuses the conversation.
        """
        if self.chat is None:
            raise InputError(f"the chat template of `{self.name}` was not read", CHAT_HINT)
        ids = self.chat.encode(conversation)
        # Templates write instructions of their own.
        check_growth(self.name, len(ids), conversation.characters, beside=1 << 16)
        return as_ids(ids, self.name)

    def conversation_roles(self, conversation: Conversation, ids: Ids) -> TokenRoles:
        """Return whose each id is that :meth:`encode_conversation` returned.

        Raises:
            InputError: The chat template refuses the conversation.
        """
        if self.chat is None or self.chat.roles is None:
            return TokenRoles.unknown(len(ids))
        return self.chat.roles(conversation, ids.tolist())


class FileTokenizer(TextTokenizer):
    """A tokenizer of the ``tokenizers`` library.

    Args:
        backend: A ``tokenizers.Tokenizer``; its truncation and padding are disabled.
        name: As in :class:`TextTokenizer`.
        sha256: As in :class:`TextTokenizer`.
        versions: As in :class:`TextTokenizer`.
        bos_token: Text of the configured BOS token.
    """

    def __init__(
        self,
        backend: Any,
        name: str,
        sha256: str,
        versions: Mapping[str, str],
        bos_token: str | None = None,
    ) -> None:
        # A truncation setting in tokenizer.json would silently shorten the corpus.
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        self._bos_token = bos_token
        self._piece_bytes: PieceBytes | None = None
        self._added: dict[int, str] | None = None
        super().__init__(name, sha256, versions)

    def _encoding(self, text: str, special_tokens: bool) -> Any:
        with explained(f"the tokenizer of `{self.name}` cannot encode the text", ""):
            encoding = self._backend.encode(text, add_special_tokens=special_tokens)
        check_growth(self.name, len(encoding), len(text))
        return encoding

    def _encoded(self, text: str, special_tokens: bool) -> Encoded:
        encoding = self._encoding(text, special_tokens)
        offsets = np.asarray(encoding.offsets, dtype=np.int64).reshape(-1, 2)
        return as_ids(encoding.ids, self.name), offsets

    def _ids(self, text: str, special_tokens: bool) -> list[int] | Ids:
        if special_tokens and len(text) > WINDOW:
            return self.encode_with_offsets(text)[0]
        return list(self._encoding(text, special_tokens).ids)

    def encode_with_offsets(self, text: str) -> tuple[Ids, NDArray[np.int64] | None]:
        """Encode text; see :meth:`TextTokenizer.encode_with_offsets`.

        Returns:
            (n,) int32 ids and (n, 2) int64 offsets.
        """
        if len(text) > WINDOW and self._affixes is not None:
            plain = encode_in_windows(lambda window: self._encoded(window, False), text)
            if plain is not None:
                before, after = (as_ids(affix, self.name) for affix in self._affixes)
                ids = np.concatenate([before, plain[0], after])
                offsets = np.pad(plain[1], ((len(before), len(after)), (0, 0)))
                return ids, offsets
        return self._encoded(text, True)

    def decode(self, ids: NDArray[np.integer[Any]] | list[int]) -> str:
        """Return the text of token ids, (n,) of any integer dtype, including special tokens."""
        with explained(f"the tokenizer of `{self.name}` cannot decode its tokens"):
            return str(self._backend.decode([int(i) for i in ids], skip_special_tokens=False))

    def token_bytes(self, token: int) -> bytes:
        """See :meth:`TextTokenizer.token_bytes`."""
        piece = self._backend.id_to_token(int(token))
        if piece is None:
            return b""
        if self._piece_bytes is None or self._added is None:
            self._added = {
                i: t.content for i, t in self._backend.get_added_tokens_decoder().items()
            }
            self._piece_bytes = piece_bytes_of(self._backend)
        if (added := self._added.get(int(token))) is not None:
            return added.encode("utf-8")
        found = self._piece_bytes(piece)
        return self.decode([token]).encode("utf-8") if found is None else found

    @property
    def vocab_size(self) -> int:
        """See :meth:`TextTokenizer.vocab_size`."""
        vocab = self._backend.get_vocab(with_added_tokens=True)
        return max(vocab.values(), default=-1) + 1

    def _configured_bos(self) -> int | None:
        if self._bos_token is None:
            return None
        found: int | None = self._backend.token_to_id(self._bos_token)
        return found


def _affixes(with_special: list[int], without: list[int]) -> tuple[list[int], list[int]] | None:
    """Return what the default encoding adds before and after; None if it also changes tokens."""
    n = len(without)
    for i in range(len(with_special) - n + 1):
        if with_special[i : i + n] == without:
            return with_special[:i], with_special[i + n :]
    return None
