"""A model folder's tokenizer, from ``tokenizer.json`` where there is one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from scorer.common.errors import InputError
from scorer.text.tokens.chat_template import ChatTemplate
from scorer.text.tokens.faults import MISSING_HINT, explained
from scorer.text.tokens.tokenizer import FileTokenizer, TextTokenizer

# The files a tokenizer can be made of where there is no tokenizer.json.
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


def load_tokenizer(model_path: Path, *, allow_custom_code: bool = False) -> TextTokenizer:
    """Read the tokenizer of a model folder. Never uses the network.

    Args:
        model_path: Folder with ``tokenizer.json``, or with files transformers can read.
        allow_custom_code: Let transformers run the repo's own Python file.

    Raises:
        InputError: The folder has no tokenizer, or its files are broken.
    """
    path = model_path / "tokenizer.json"
    config = read_tokenizer_config(model_path)
    template = ChatTemplate.find(model_path, config)
    if not path.is_file():
        from scorer.text.tokens.transformers_tokenizer import load_with_transformers

        files = sorted({file for glob in _OTHER_FILES for file in model_path.glob(glob)})
        if not files:
            raise InputError(f"`{model_path}` has no tokenizer", MISSING_HINT)
        return load_with_transformers(
            model_path,
            _name(model_path),
            _sha256(files),
            template,
            allow_custom_code=allow_custom_code,
        )
    from tokenizers import Tokenizer

    with explained(f"the tokenizer in `{model_path}` is broken"):
        data = path.read_bytes()
        backend = Tokenizer.from_buffer(data)
    return FileTokenizer(
        backend,
        _name(model_path),
        hashlib.sha256(data).hexdigest(),
        template,
        token_text(config.get("bos_token")),
    )


def read_tokenizer_config(model_path: Path) -> dict[str, Any]:
    """``tokenizer_config.json`` as a dict, empty where there is none.

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
    """Text of a special token as ``tokenizer_config.json`` spells it: a string or an object."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None


def _name(model_path: Path) -> str:
    # …/models--owner--repo/snapshots/<commit>
    path = model_path.absolute()
    kind, *repo = path.parent.parent.name.split("--")
    cached = kind == "models" and repo and path.parent.name == "snapshots"
    return "/".join(repo) if cached else path.name


def _sha256(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        data = file.read_bytes()
        digest.update(f"{file.name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()
