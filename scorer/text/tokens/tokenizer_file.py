"""Reads a tokenizer from ``tokenizer.json``, without importing transformers."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

from scorer.text.tokens.declared import add_declared_tokens, read_declarations, token_text
from scorer.text.tokens.faults import explained
from scorer.text.tokens.tokenizer import FileTokenizer


def load_tokenizer_file(model_path: Path) -> FileTokenizer:
    """Read the tokenizer of a model folder that holds ``tokenizer.json``.

    Special tokens that other files declare are added, as transformers does. The hash of the
    tokenizer is that of ``tokenizer.json``, together with them if there were any.

    Args:
        model_path: The folder.

    Raises:
        InputError: The file is missing or broken.
    """
    from tokenizers import Tokenizer

    declarations = read_declarations(model_path)
    with explained(f"the tokenizer in `{model_path}` is broken"):
        data = (model_path / "tokenizer.json").read_bytes()
        backend = Tokenizer.from_buffer(data)
        added = add_declared_tokens(backend, declarations)
    sha256 = hashlib.sha256(data).hexdigest()
    if added:
        sha256 = hashlib.sha256("\0".join((sha256, *added)).encode()).hexdigest()
    return FileTokenizer(
        backend,
        tokenizer_name(model_path),
        sha256,
        {"tokenizers": version("tokenizers")},
        token_text(declarations.get("bos_token")),
    )


def tokenizer_name(model_path: Path) -> str:
    """Return the repo id if the folder is a snapshot in the Hugging Face cache, else its name."""
    # …/models--owner--repo/snapshots/<commit>
    path = model_path.absolute()
    kind, *repo = path.parent.parent.name.split("--")
    cached = kind == "models" and repo and path.parent.name == "snapshots"
    return "/".join(repo) if cached else path.name
