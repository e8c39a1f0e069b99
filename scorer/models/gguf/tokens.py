"""Whether the tokens of a GGUF file are those of the reference, by content."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scorer.common.inert_text import shown
from scorer.models.gguf.file import GGUFFile
from scorer.models.gguf.header import TOKENS
from scorer.models.gguf.same_model import another_model
from scorer.models.same_tokenizer import token_texts

if TYPE_CHECKING:
    from scorer.models.info import ModelInfo

# How SentencePiece writes a blank; llama.cpp's converter writes added tokens with either.
_BLANK = "▁"


def check_tokens(reference: ModelInfo, gguf: GGUFFile) -> None:
    """Check that the tokens of a file are those of the reference's ``tokenizer.json``.

    Rows that the reference's tokenizer has no token for may have any text: converters fill them up.
    How a text is cut into tokens is not compared: the reference's tokenizer does that for both.

    Args:
        reference: The reference.
        gguf: The file.

    Raises:
        InputError: They are not, or the reference's tokenizer cannot be read.
    """
    difference = _difference(reference.path, gguf)
    if difference is not None:
        raise another_model(gguf, reference, difference)


def _difference(reference: Path, gguf: GGUFFile) -> str | None:
    tokens = gguf.values.get(TOKENS)
    if not isinstance(tokens, list):
        return "it has no list of tokens"
    found = token_texts(reference)
    if found is None:
        return "the reference has no `tokenizer.json` that its tokens could be compared with"
    texts, added = found
    for number, text in sorted(texts.items()):
        if number >= len(tokens):
            return f"its vocabulary has {len(tokens)} tokens and the reference's token {number} too"
        own = str(tokens[number])
        if own != text and not (number in added and _plain(own) == _plain(text)):
            return f"its token {number} is {shown(own)} and the reference's {shown(text)}"
    return None


def _plain(text: str) -> str:
    return text.replace(_BLANK, " ")
