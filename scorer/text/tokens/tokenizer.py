"""A model's tokenizer, read from ``tokenizer.json`` without importing transformers.

Importing transformers costs a second; ``tokenizers`` gives the same ids in 0.02 s, because the
post-processor of ``tokenizer.json`` alone decides what is added. Repos without that file go
through transformers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.common.errors import InputError
from scorer.text.tokens.chat_template import ChatTemplate
from scorer.text.tokens.faults import as_ids, explained
from scorer.text.tokens.long_text import WINDOW, Encoded, encode_in_windows
from scorer.text.tokens.pieces import PieceBytes, piece_bytes_of

Ids = NDArray[np.int32]


class TextTokenizer(ABC):
    """Text to token ids and back, as the model was trained on them.

    Attributes:
        name: Repo id where it was read from the Hugging Face cache, else the folder's name.
        sha256: Hex SHA-256 of the files that decide the ids.
        chat_template: The model's chat template, or None.
    """

    def __init__(self, name: str, sha256: str, chat_template: ChatTemplate | None) -> None:
        self.name = name
        self.sha256 = sha256
        self.chat_template = chat_template
        with_special, without = list(self._ids("a", True)), list(self._ids("a", False))
        self._affixes = _affixes(with_special, without)
        # An EOS appended lengthens the encoding too: only another first token is a BOS.
        self.adds_bos: bool = len(with_special) > len(without) and (
            not without or with_special[0] != without[0]
        )
        self._probed_bos = int(with_special[0]) if self.adds_bos else None

    @abstractmethod
    def _ids(self, text: str, special_tokens: bool) -> list[int] | Ids:
        """Ids of ``text``; with ``special_tokens`` those of the default encode."""

    @abstractmethod
    def encode_with_offsets(self, text: str) -> tuple[Ids, NDArray[np.int64] | None]:
        """Default encode with the place of each token.

        Returns:
            (n,) int32 ids, and (n, 2) int64 first and past-the-end character of each token
            ((0, 0) for added ones), or None where the tokenizer cannot tell.

        Raises:
            InputError: The text holds something the vocabulary has no token for.
        """

    @abstractmethod
    def decode(self, ids: NDArray[np.integer[Any]] | list[int]) -> str:
        """The text of ``ids``, special tokens included."""

    @abstractmethod
    def token_bytes(self, token: int) -> bytes:
        """The bytes one token stands for; part of a UTF-8 character is possible.

        Empty for an id the vocabulary does not know.
        """

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Largest id of the vocabulary, added tokens included, plus 1."""

    @abstractmethod
    def _configured_bos(self) -> int | None:
        """Id of the BOS token that the configuration names."""

    def encode(self, text: str, *, special_tokens: bool = True) -> Ids:
        """Ids of ``text``, (n,) int32.

        Args:
            text: What to encode.
            special_tokens: Add what the tokenizer adds by default (BOS, EOS).

        Raises:
            InputError: The text holds something the vocabulary has no token for.
        """
        return as_ids(self._ids(text, special_tokens), self.name)

    @property
    def bos_token_id(self) -> int | None:
        """The token that default encoding puts first, else the configured BOS, else None."""
        return self._configured_bos() if self._probed_bos is None else self._probed_bos

    def apply_chat_template(self, messages: list[dict[str, Any]]) -> str:
        """A conversation as the text the model was trained on, its special tokens written out.

        Raises:
            InputError: The model has no chat template, or the template refuses the messages.
        """
        if self.chat_template is None:
            raise InputError(
                f"`{self.name}` has no chat template", "give rows with `text` instead of `messages`"
            )
        return self.chat_template.render(messages)


class FileTokenizer(TextTokenizer):
    """A tokenizer of the ``tokenizers`` library.

    Args:
        backend: A ``tokenizers.Tokenizer``; its truncation and padding are switched off.
        name: As in :class:`TextTokenizer`.
        sha256: As in :class:`TextTokenizer`.
        chat_template: As in :class:`TextTokenizer`.
        bos_token: Text of the configured BOS token.
    """

    def __init__(
        self,
        backend: Any,
        name: str,
        sha256: str,
        chat_template: ChatTemplate | None = None,
        bos_token: str | None = None,
    ) -> None:
        # A truncation saved in tokenizer.json would silently cut the corpus.
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        self._bos_token = bos_token
        self._piece_bytes: PieceBytes | None = None
        self._added: dict[int, str] | None = None
        super().__init__(name, sha256, chat_template)

    def _encoding(self, text: str, special_tokens: bool) -> Any:
        with explained(f"the tokenizer of `{self.name}` cannot encode the text", ""):
            return self._backend.encode(text, add_special_tokens=special_tokens)

    def _encoded(self, text: str, special_tokens: bool) -> Encoded:
        encoding = self._encoding(text, special_tokens)
        offsets = np.asarray(encoding.offsets, dtype=np.int64).reshape(-1, 2)
        return as_ids(encoding.ids, self.name), offsets

    def _ids(self, text: str, special_tokens: bool) -> list[int] | Ids:
        if special_tokens and len(text) > WINDOW:
            return self.encode_with_offsets(text)[0]
        return list(self._encoding(text, special_tokens).ids)

    def encode_with_offsets(self, text: str) -> tuple[Ids, NDArray[np.int64] | None]:
        """See :meth:`TextTokenizer.encode_with_offsets`."""
        if len(text) > WINDOW and self._affixes is not None:
            plain = encode_in_windows(lambda window: self._encoded(window, False), text)
            if plain is not None:
                before, after = (as_ids(affix, self.name) for affix in self._affixes)
                ids = np.concatenate([before, plain[0], after])
                offsets = np.pad(plain[1], ((len(before), len(after)), (0, 0)))
                return ids, offsets
        return self._encoded(text, True)

    def decode(self, ids: NDArray[np.integer[Any]] | list[int]) -> str:
        """See :meth:`TextTokenizer.decode`."""
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
    """What default encoding adds before and after, where it leaves the rest alone."""
    n = len(without)
    for i in range(len(with_special) - n + 1):
        if with_special[i : i + n] == without:
            return with_special[:i], with_special[i + n :]
    return None
