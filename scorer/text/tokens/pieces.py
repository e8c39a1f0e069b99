"""Decodes vocabulary entries to bytes.

Two encodings cover nearly all models. Byte-level BPE (GPT-2, Llama 3, Qwen) represents each byte by
one printable character. SentencePiece (Llama 2, Gemma) writes a space as ``▁`` and a byte without a
token of its own as ``<0xE2>``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

PieceBytes = Callable[[str], bytes | None]
"""Returns the bytes of a vocabulary entry, or None if the encoding is unknown."""

_BYTE_FALLBACK = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE = "\u2581"


@cache
def byte_level_alphabet() -> dict[str, int]:
    """Return the map from character to byte of byte-level BPE.

    Printable Latin-1 characters represent themselves. The other bytes have the code points from 256
    on, in order. Source: the reference encoder of GPT-2 (Radford et al. 2019).
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + i): byte for i, byte in enumerate(others)
    }


def byte_level_bytes(piece: str) -> bytes | None:
    """Decode a byte-level BPE piece; None if a character is not in the alphabet."""
    alphabet = byte_level_alphabet()
    if all(character in alphabet for character in piece):
        return bytes(alphabet[character] for character in piece)
    return None


def sentencepiece_bytes(piece: str) -> bytes | None:
    """Decode a SentencePiece piece."""
    if match := _BYTE_FALLBACK.fullmatch(piece):
        return bytes([int(match[1], 16)])
    return piece.replace(_SPACE, " ").encode("utf-8")


def piece_bytes_of(backend: Any) -> PieceBytes:
    """Return the decoding function for a ``tokenizers.Tokenizer``, chosen by its decoder."""
    decoder = backend.decoder
    if decoder is None:
        return lambda _: None
    kinds = set(_kinds(json.loads(decoder.__getstate__())))
    if "ByteLevel" in kinds:
        return byte_level_bytes
    if kinds & {"ByteFallback", "Metaspace"}:
        return sentencepiece_bytes
    return lambda _: None


def _kinds(decoder: Any) -> list[str]:
    if not isinstance(decoder, dict):
        return []
    nested = decoder.get("decoders") or []
    return [str(decoder.get("type")), *(kind for inner in nested for kind in _kinds(inner))]
