"""What the child process does with a text and a model's tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scorer.child.answering import Say, Work


def prepare_tokens() -> Work:
    """Import what tokenizing takes; return the work."""
    import tokenizers  # noqa: F401 (it takes time, and the request is not there yet)

    import scorer.lm.tokenizer
    import scorer.text.sources
    import scorer.text.tokenized  # noqa: F401

    return _tokens


def _tokens(request: dict[str, Any], say: Say) -> tuple[dict[str, Any], bytes]:
    """Read a text and tokenize it; see :mod:`scorer.engine.text_process`."""
    from scorer.lm.tokenizer import load_tokenizer
    from scorer.lm.torch_later import without_torch
    from scorer.models.custom_code import consent_from_json
    from scorer.spec.job import CorpusSpec
    from scorer.text.sources import read_source
    from scorer.text.tokenized import tokenized_source

    model, protocol = f"`{request['name']}`", request["protocol"]
    consent = consent_from_json(request["allow_custom_code"])
    if not consent:
        without_torch()
    say(f"reading the tokenizer of {model}")
    tokenizer = load_tokenizer(
        Path(request["model"]),
        key=request["key"],
        allow_custom_code=consent,
    )
    kept = request["text_file"]
    say(f"reading {request['text']}")
    source = read_source(
        CorpusSpec(request["corpus"]), protocol, text_file=None if kept is None else Path(kept)
    )
    by = "chat template" if source.chat else "tokenizer"
    say(f"tokenizing {request['text']} with the {by} of {model}")
    folder = request["cache_dir"]
    tokens = tokenized_source(
        source, tokenizer, protocol=protocol, cache_dir=None if folder is None else Path(folder)
    )
    return tokens.to_parts()


def prepare_spelling() -> Work:
    """Import what spelling tokens takes; return the work."""
    import tokenizers  # noqa: F401

    import scorer.text.tokens.tokenizer_file  # noqa: F401

    return _spelling


def _spelling(request: dict[str, Any], say: Say) -> tuple[dict[str, Any], bytes]:
    """Spell token ids; see :mod:`scorer.text.tokens.spelling`."""
    from scorer.text.tokens.spelling import spelled
    from scorer.text.tokens.tokenizer_file import load_tokenizer_file

    tokenizer = load_tokenizer_file(Path(request["model"]))
    return spelled(tokenizer, request["ids"]).to_json(), b""
