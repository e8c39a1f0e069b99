"""Tokenizers of repos without ``tokenizer.json``, loaded with transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.models.config import read_object
from scorer.models.custom_code import CodeFile, Consent, check_consent, hashed_code, tokenizer_code
from scorer.text.tokens.chat_template import ChatTemplate
from scorer.text.tokens.faults import explained
from scorer.text.tokens.tokenizer import FileTokenizer, Ids, TextTokenizer


def load_with_transformers(
    model_path: Path,
    name: str,
    sha256: str,
    chat_template: ChatTemplate | None,
    *,
    allow_custom_code: Consent = False,
) -> TextTokenizer:
    """Read a tokenizer with ``AutoTokenizer``, from the local folder only.

    Args:
        model_path: Folder of the model.
        name: Name of the tokenizer.
        sha256: Hash of its tokenizer files.
        chat_template: Its chat template.
        allow_custom_code: Whether transformers may run the Python files that the folder names.

    Raises:
        CustomCodeRefused: It may not.
        InputError: transformers cannot read the files.
    """
    code = _code(model_path)
    check_consent(code, allow_custom_code, of_model=False)
    from transformers import AutoTokenizer

    with explained(f"the tokenizer in `{model_path}` is broken"):
        tokenizer = AutoTokenizer.from_pretrained(
            str(model_path), local_files_only=True, trust_remote_code=bool(code)
        )
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return FileTokenizer(backend, name, sha256, chat_template, tokenizer.bos_token)
    return PythonTokenizer(tokenizer, name, sha256, chat_template)


def _code(model_path: Path) -> tuple[CodeFile, ...]:
    """The Python files that transformers would run."""
    names = [path.name for path in model_path.iterdir()]
    config = read_object(model_path / "config.json") if "config.json" in names else {}
    return hashed_code(model_path, tokenizer_code(model_path, config, names))


class PythonTokenizer(TextTokenizer):
    """A tokenizer that transformers implements in Python; it has no offsets.

    Args:
        tokenizer: A ``transformers`` tokenizer without a backend of the tokenizers library.
        name: As in :class:`TextTokenizer`.
        sha256: As in :class:`TextTokenizer`.
        chat_template: As in :class:`TextTokenizer`.
    """

    def __init__(
        self, tokenizer: Any, name: str, sha256: str, chat_template: ChatTemplate | None = None
    ) -> None:
        self._tokenizer = tokenizer
        super().__init__(name, sha256, chat_template)

    def _ids(self, text: str, special_tokens: bool) -> list[int]:
        with explained(f"the tokenizer of `{self.name}` cannot encode the text", ""):
            ids = self._tokenizer.encode(text, add_special_tokens=special_tokens, verbose=False)
            return [int(i) for i in ids]

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
