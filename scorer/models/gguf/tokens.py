"""Whether the tokens of a GGUF file are those of the reference, by content."""

from __future__ import annotations

from pathlib import Path

from scorer.common.inert_text import shown
from scorer.models.gguf.file import GGUFFile
from scorer.models.gguf.header import TOKENS
from scorer.models.same_tokenizer import token_texts

# How SentencePiece writes a blank; llama.cpp's converter writes added tokens with either.
_BLANK = "▁"


def tokens_difference(reference: Path, gguf: GGUFFile) -> str | None:
    """How the tokens of a file differ from those of the reference's ``tokenizer.json``.

    Rows that the reference's tokenizer has no token for may have any text: converters fill them up.
    How a text is cut into tokens is not compared: the reference's tokenizer does that for both.

    Args:
        reference: Folder of the reference.
        gguf: The file.

    Returns:
        The difference, one line that speaks of the file as "its"; None if there is none.

    Raises:
        InputError: The reference's tokenizer cannot be read.
    """
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
