"""The bytes that token ids stand for, from a process that is bounded in time and memory.

A tokenizer is a foreign file, and its decoder can expand one token to any size; see
:mod:`scorer.common.bounded_process`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scorer.common.bounded_process import Asked, BoundedProcess, nobody
from scorer.text.tokens.tokenizer import TextTokenizer

SECONDS = 20.0
"""How long a tokenizer may take to spell the tokens of a run."""
_MEMORY = 2 << 30
_ANSWER = 64 << 20
LONGEST = 1024
"""Bytes that a token may stand for. Published vocabularies have tokens of some 100."""


@dataclass(frozen=True, slots=True)
class SpelledTokens:
    """Tokens and the bytes they stand for.

    Attributes:
        sha256: Hex SHA-256 of the files that determine the ids.
        bos: The id of the BOS token, or None.
        pieces: Token id to its bytes, which may be part of a UTF-8 character; none where they are
            not known, or more than :data:`LONGEST`.
    """

    sha256: str
    bos: int | None
    pieces: Mapping[int, bytes]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        pieces = {str(token): piece.hex() for token, piece in self.pieces.items()}
        return {"sha256": self.sha256, "bos": self.bos, "pieces": pieces}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SpelledTokens:
        """Return what :meth:`to_json` was made of."""
        pieces = {int(token): bytes.fromhex(piece) for token, piece in values["pieces"].items()}
        return cls(values["sha256"], values["bos"], pieces)


def spelled(tokenizer: TextTokenizer, ids: Iterable[int]) -> SpelledTokens:
    """Spell tokens, and the BOS token, in this process.

    Args:
        tokenizer: The tokenizer.
        ids: Token ids.
    """
    bos = tokenizer.bos_token_id
    wanted = {*ids, *(() if bos is None else (bos,))}
    pieces = {token: tokenizer.token_bytes(token) for token in sorted(wanted) if token >= 0}
    kept = {token: piece for token, piece in pieces.items() if len(piece) <= LONGEST}
    return SpelledTokens(tokenizer.sha256, bos, kept)


def read_spelling(
    model_path: Path, name: str, ids: Iterable[int], asked: Asked = nobody
) -> SpelledTokens:
    """Read the tokenizer of a model folder that holds ``tokenizer.json``, and spell tokens with it.

    Args:
        model_path: The folder.
        name: Name of the model in messages.
        ids: Token ids.
        asked: Ends the wait.

    Raises:
        InputError: The file is missing or broken, or the tokenizer gives no answer.
        WillNotFit: It takes too much memory.
        QfidError: What ``asked`` returned.
    """
    request = {"model": str(model_path), "ids": sorted(ids)}
    with BoundedProcess("--spelling") as process:
        process.ask(
            request,
            f"reading the tokenizer of `{name}`",
            seconds=SECONDS,
            memory=_MEMORY,
            most=_ANSWER,
            hint="",
        )
        head, _ = process.answer(asked)
    return SpelledTokens.from_json(head)
