"""Tokenizers that transformers implements in Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.text.tokens.faults import check_growth, explained
from scorer.text.tokens.tokenizer import Ids, TextTokenizer


class PythonTokenizer(TextTokenizer):
    """A tokenizer called as transformers calls it; it has no offsets.

    Args:
        tokenizer: A ``transformers`` tokenizer.
        name: As in :class:`TextTokenizer`.
        sha256: As in :class:`TextTokenizer`.
        versions: As in :class:`TextTokenizer`.
    """

    def __init__(self, tokenizer: Any, name: str, sha256: str, versions: Mapping[str, str]) -> None:
        self._tokenizer = tokenizer
        super().__init__(name, sha256, versions)

    def _ids(self, text: str, special_tokens: bool) -> list[int]:
        with explained(f"the tokenizer of `{self.name}` cannot encode the text", ""):
            ids = self._tokenizer.encode(text, add_special_tokens=special_tokens, verbose=False)
            found = [int(i) for i in ids]
        check_growth(self.name, len(found), len(text))
        return found

    def encode_with_offsets(self, text: str) -> tuple[Ids, NDArray[np.int64] | None]:
        """Encode text; see :meth:`TextTokenizer.encode_with_offsets`.

        Returns:
            (n,) int32 ids, and None for the offsets.
        """
        return self.encode(text), None

    def decode(self, ids: NDArray[np.integer[Any]] | list[int]) -> str:
        """Return the text of token ids, (n,) of any integer dtype, including special tokens."""
        return str(
            self._tokenizer.decode(
                [int(i) for i in ids],
                skip_special_tokens=False,
                clean_up_tokenization_spaces=False,
            )
        )

    def token_bytes(self, token: int) -> bytes:
        """See :meth:`TextTokenizer.token_bytes`."""
        if not 0 <= token < self.vocab_size:
            return b""
        return self.decode([token]).encode("utf-8")

    @property
    def vocab_size(self) -> int:
        """See :meth:`TextTokenizer.vocab_size`."""
        return max(self._tokenizer.get_vocab().values(), default=-1) + 1

    def _configured_bos(self) -> int | None:
        found: int | None = self._tokenizer.bos_token_id
        return found
