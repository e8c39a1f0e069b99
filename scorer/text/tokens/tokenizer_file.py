"""Reads a tokenizer from ``tokenizer.json``, without importing transformers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from scorer.common.errors import InputError
from scorer.text.tokens.chat_template import ChatTemplate
from scorer.text.tokens.faults import MISSING_HINT, explained
from scorer.text.tokens.tokenizer import FileTokenizer


def load_tokenizer_file(model_path: Path) -> FileTokenizer:
    """Read the tokenizer of a model folder that holds ``tokenizer.json``.

    Args:
        model_path: The folder.

    Raises:
        InputError: The file is missing or broken.
    """
    from tokenizers import Tokenizer

    config = read_tokenizer_config(model_path)
    template = ChatTemplate.find(model_path, config)
    with explained(f"the tokenizer in `{model_path}` is broken"):
        data = (model_path / "tokenizer.json").read_bytes()
        backend = Tokenizer.from_buffer(data)
    return FileTokenizer(
        backend,
        tokenizer_name(model_path),
        hashlib.sha256(data).hexdigest(),
        template,
        token_text(config.get("bos_token")),
    )


def read_tokenizer_config(model_path: Path) -> dict[str, Any]:
    """Return the content of ``tokenizer_config.json``; empty if there is no file.

    Raises:
        InputError: The file is not a JSON object.
    """
    path = model_path / "tokenizer_config.json"
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"`{path}` is broken: {error}", MISSING_HINT) from error
    if not isinstance(config, dict):
        raise InputError(f"`{path}` is not a JSON object", MISSING_HINT)
    return config


def token_text(token: Any) -> str | None:
    """Return the text of a special token in ``tokenizer_config.json``, a string or an object."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None


def tokenizer_name(model_path: Path) -> str:
    """Return the repo id if the folder is a snapshot in the Hugging Face cache, else its name."""
    # …/models--owner--repo/snapshots/<commit>
    path = model_path.absolute()
    kind, *repo = path.parent.parent.name.split("--")
    cached = kind == "models" and repo and path.parent.name == "snapshots"
    return "/".join(repo) if cached else path.name
