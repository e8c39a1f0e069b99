"""Special tokens that a model's files declare beside ``tokenizer.json``.

transformers adds them to the tokenizer when it loads it, in the order below. A text that holds one
is cut there. Source: transformers 5.23, ``PreTrainedTokenizerBase._from_pretrained`` and
``TokenizersBackend.__init__``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scorer.common.errors import InputError
from scorer.text.tokens.faults import MISSING_HINT

_NAMED = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
_LISTS = ("extra_special_tokens", "additional_special_tokens")


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file of a tokenizer; empty if there is no file.

    Raises:
        InputError: The file is not a JSON object.
    """
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"`{path}` is broken: {error}", MISSING_HINT) from error
    if not isinstance(data, dict):
        raise InputError(f"`{path}` is not a JSON object", MISSING_HINT)
    return data


def read_declarations(model_path: Path) -> dict[str, Any]:
    """Return what a model folder declares of its tokenizer beside ``tokenizer.json``.

    It is ``tokenizer_config.json``. If that has no ``added_tokens_decoder``, the older files
    ``special_tokens_map.json`` and ``added_tokens.json`` count too; the latter is the value of the
    key ``added_tokens``, of token to id.

    Raises:
        InputError: A file is not a JSON object.
    """
    config = read_object(model_path / "tokenizer_config.json")
    if "added_tokens_decoder" in config:
        return config
    config |= read_object(model_path / "special_tokens_map.json")
    return config | {"added_tokens": read_object(model_path / "added_tokens.json")}


def token_text(token: Any) -> str | None:
    """Return the text of a special token, which files give as a string or as an object."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None


def declared_tokens(declarations: dict[str, Any]) -> list[Any]:
    """Return the declared tokens in the order in which transformers adds them.

    Args:
        declarations: As of :func:`read_declarations`.

    Returns:
        ``tokenizers.AddedToken`` objects, each text once.
    """
    named = [declarations.get(name) for name in _NAMED]
    named += [
        value
        for key, value in declarations.items()
        if key.endswith("_token") and key not in _NAMED and isinstance(value, str)
    ]
    named += _listed(declarations)
    special = {text for text in map(token_text, named) if text}
    found: dict[str, Any] = {}
    for token in _numbered(declarations, special):
        found.setdefault(token.content, token)
    for value in named:
        text = token_text(value)
        if text and text not in found:
            found[text] = _added(value, special=True)
    return list(found.values())


def add_declared_tokens(backend: Any, declarations: dict[str, Any]) -> list[str]:
    """Add the declared tokens that a tokenizer lacks.

    Args:
        backend: A ``tokenizers.Tokenizer``.
        declarations: As of :func:`read_declarations`.

    Returns:
        The tokens that were added, as they are described; empty if it had them all.
    """
    known = {token.content for token in backend.get_added_tokens_decoder().values()}
    missing = [token for token in declared_tokens(declarations) if token.content not in known]
    if missing:
        backend.add_tokens(missing)
    return [repr(token) for token in missing]


def _numbered(declarations: dict[str, Any], special: set[str]) -> list[Any]:
    """Tokens that have an id, in the order of their ids; the id itself counts for nothing."""
    from tokenizers import AddedToken

    numbered: dict[int, Any] = {}
    decoder = declarations.get("added_tokens_decoder")
    if isinstance(decoder, dict):
        numbered = {int(i): _added(v) for i, v in decoder.items() if i.isdecimal() and len(i) < 10}
    older = declarations.get("added_tokens")
    if isinstance(older, dict):
        for text, index in older.items():
            if type(index) is int:
                is_special = text in special
                numbered[index] = AddedToken(text, normalized=not is_special, special=is_special)
    return [token for _, token in sorted(numbered.items()) if token is not None]


def _listed(declarations: dict[str, Any]) -> list[Any]:
    for name in _LISTS:
        tokens = declarations.get(name)
        if isinstance(tokens, dict):
            tokens = list(tokens.values())
        if isinstance(tokens, list) and tokens:
            return tokens
    return []


def _added(value: Any, *, special: bool | None = None) -> Any:
    """An ``AddedToken`` from a string or an object; None if it is neither."""
    from tokenizers import AddedToken

    text = token_text(value)
    if not text:
        return None
    flags: dict[str, bool] = {}
    if isinstance(value, dict):
        names = ("single_word", "lstrip", "rstrip", "normalized", "special")
        flags = {name: value[name] for name in names if isinstance(value.get(name), bool)}
    return AddedToken(text, **(flags if special is None else flags | {"special": special}))
