"""Hashes of the files that define a tokenizer."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

TOKENIZER = (
    "tokenizer.json",
    "*.model",
    "*.tiktoken",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tekken.json",
    "added_tokens.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
)
"""Files that can define the ids of a text."""

READING = (*TOKENIZER, "config.json", "*.py")
"""Files that decide as what transformers reads them."""

CHAT = (*READING, "chat_template.jinja", "additional_chat_templates/*.jinja")
"""Files that decide the ids of a conversation."""


def files_of(model_path: Path, patterns: Sequence[str]) -> list[Path]:
    """Return the files of a model folder that match a pattern, each once, in order."""
    return sorted({file for glob in patterns for file in model_path.glob(glob) if file.is_file()})


def files_sha256(model_path: Path, patterns: Sequence[str], *more: str) -> str:
    """Return the hexadecimal SHA-256 of names and content of files.

    Args:
        model_path: Folder of a model.
        patterns: Which of its files.
        more: What else it depends on.
    """
    digest = hashlib.sha256()
    for file in files_of(model_path, patterns):
        name = file.relative_to(model_path).as_posix()
        with file.open("rb") as content:
            # In blocks: a file may be larger than memory.
            digest.update(f"{name}\0{os.fstat(content.fileno()).st_size}\0".encode())
            while block := content.read(1 << 20):
                digest.update(block)
    for part in more:
        digest.update(f"{part}\0".encode())
    return digest.hexdigest()
