"""Loads the tokenizer of a model folder from any supported file format."""

from __future__ import annotations

import hashlib
from pathlib import Path

from scorer.common.errors import InputError
from scorer.models.custom_code import Consent
from scorer.text.tokens.chat_template import ChatTemplate
from scorer.text.tokens.faults import MISSING_HINT
from scorer.text.tokens.tokenizer import TextTokenizer
from scorer.text.tokens.tokenizer_file import (
    load_tokenizer_file,
    read_tokenizer_config,
    tokenizer_name,
)
from scorer.text.tokens.transformers_tokenizer import load_with_transformers

# The files that can define a tokenizer without tokenizer.json.
_OTHER_FILES = (
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


def load_tokenizer(model_path: Path, *, allow_custom_code: Consent = False) -> TextTokenizer:
    """Read the tokenizer of a model folder, without network access.

    Args:
        model_path: Folder with ``tokenizer.json``, or with files that transformers can read.
        allow_custom_code: Whether transformers may run the Python files that the folder names.

    Raises:
        CustomCodeRefused: It may not.
        InputError: The folder has no tokenizer, or its files are broken.
    """
    if (model_path / "tokenizer.json").is_file():
        return load_tokenizer_file(model_path)
    template = ChatTemplate.find(model_path, read_tokenizer_config(model_path))
    files = sorted({file for glob in _OTHER_FILES for file in model_path.glob(glob)})
    if not files:
        raise InputError(f"`{model_path}` has no tokenizer", MISSING_HINT)
    return load_with_transformers(
        model_path,
        tokenizer_name(model_path),
        _sha256(files),
        template,
        allow_custom_code=allow_custom_code,
    )


def _sha256(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        data = file.read_bytes()
        digest.update(f"{file.name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()
