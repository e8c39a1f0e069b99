"""The tokenizer of a model, read so that it gives the ids that mlx-lm's own gives.

``tokenizer.json`` is read without transformers where that makes no difference. Whether it does is
found out by encoding every special token that the model's files declare, and a sample of text, with
both. The comparison takes seconds, so it is kept by the hashes of the files and the versions of the
libraries. Where the ids differ, mlx-lm's tokenizer is used.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Callable, Sequence
from pathlib import Path

from scorer.common.atomic_files import write_atomic
from scorer.common.errors import InputError, QfidError
from scorer.common.folders import cache_folder
from scorer.common.inert_text import shown
from scorer.demo import demo_model_path
from scorer.lm.mlx_lm_tokenizer import MlxLmTokenizer
from scorer.models.custom_code import (
    CodeFile,
    Consent,
    check_consent,
    hashed_code,
    tokenizer_code,
)
from scorer.models.same_tokenizer import SAMPLE
from scorer.text.tokens.declared import declared_tokens, read_object
from scorer.text.tokens.faults import MISSING_HINT
from scorer.text.tokens.files import CHAT, READING, TOKENIZER, files_of, files_sha256
from scorer.text.tokens.python_tokenizer import PythonTokenizer
from scorer.text.tokens.tokenizer import ChatEncoder, FileTokenizer, TextTokenizer
from scorer.text.tokens.tokenizer_file import load_tokenizer_file, tokenizer_name

# To be raised when the same files are compared differently.
_FORMAT = "1"
_LIBRARIES = ("mlx-lm", "transformers", "tokenizers", "sentencepiece")

# Keeps also what could not be written: a read-only cache must not make this process compare again.
_equal: set[str] = set()


def comparison_key(model_path: Path) -> str:
    """Return what the comparison of a model's tokenizer is kept under, 64 hexadecimal digits."""
    versions = (f"{name} {version}" for name, version in _versions().items())
    return files_sha256(model_path, READING, _FORMAT, *versions)


def is_compared(model_path: Path, key: str) -> bool:
    """Whether ``tokenizer.json`` alone is known to give the ids of mlx-lm's tokenizer.

    It is of the built-in model, whose files a test compares.

    Args:
        model_path: The folder.
        key: As of :func:`comparison_key`.
    """
    return model_path == demo_model_path() or key in _equal or _kept(key).is_file()


def load_tokenizer(
    model_path: Path, *, key: str | None = None, allow_custom_code: Consent = False
) -> TextTokenizer:
    """Read the tokenizer of a model folder, without network access.

    Args:
        model_path: The folder.
        key: As of :func:`comparison_key`; None to compute it.
        allow_custom_code: Whether transformers may run the Python files that the folder names,
            where there is no ``tokenizer.json``. Where there is one, no such file runs.

    Raises:
        CustomCodeRefused: It may not.
        InputError: The folder has no tokenizer, or its files are broken.
    """
    if not files_of(model_path, TOKENIZER):
        raise InputError(f"`{model_path}` has no tokenizer", MISSING_HINT)
    if (model_path / "tokenizer.json").is_file():
        runtime = MlxLmTokenizer(model_path)
        tokenizer = _from_file(model_path, runtime, key or comparison_key(model_path))
    else:
        code = _code(model_path)
        check_consent(code, allow_custom_code, of_model=False)
        runtime = MlxLmTokenizer(model_path, allow_custom_code=bool(code))
        tokenizer = _from_runtime(model_path, runtime)
    tokenizer.chat = ChatEncoder(
        runtime.encode_conversation,
        lambda: files_sha256(model_path, CHAT),
        _versions(),
        runtime.conversation_roles,
    )
    return tokenizer


def first_difference(
    ours: Callable[[str], Sequence[int]],
    theirs: Callable[[str], Sequence[int]],
    tokens: Sequence[str],
) -> str | None:
    """Return the first of ``tokens`` that two tokenizers encode differently, within a text.

    Args:
        ours: Encodes a text; may raise an InputError.
        theirs: The same of the other tokenizer.
        tokens: Special tokens.

    Returns:
        The token, or a word of :data:`SAMPLE`, or all of it; None if there is no difference.
    """
    if _ids(ours, SAMPLE) != _ids(theirs, SAMPLE):
        words = (word for word in SAMPLE.split() if _ids(ours, word) != _ids(theirs, word))
        return next(words, SAMPLE)
    contexts = [f"a {token} b{token}c\n" for token in tokens]
    # In one text, because models declare thousands.
    whole = "".join(contexts)
    together = _ids(ours, whole)
    if together is not None and together == _ids(theirs, whole):
        return None
    for token, text in zip(tokens, contexts, strict=True):
        if _ids(ours, text) != _ids(theirs, text):
            return token
    return None


def all_declared(model_path: Path) -> list[str]:
    """Return every token that any file of a model folder declares, in order.

    Raises:
        InputError: A file is not a JSON object.
    """
    config = read_object(model_path / "tokenizer_config.json")
    older = read_object(model_path / "special_tokens_map.json")
    added = read_object(model_path / "added_tokens.json")
    found = [token.content for token in declared_tokens(config)]
    found += [token.content for token in declared_tokens(older)]
    found += list(added)
    listed = read_object(model_path / "tokenizer.json").get("added_tokens")
    if isinstance(listed, list):
        texts = (token.get("content") for token in listed if isinstance(token, dict))
        found += [text for text in texts if isinstance(text, str)]
    return list(dict.fromkeys(found))


def _from_file(model_path: Path, runtime: MlxLmTokenizer, key: str) -> TextTokenizer:
    tokenizer = load_tokenizer_file(model_path)
    if is_compared(model_path, key):
        return tokenizer
    try:
        _ = runtime.wrapper
    except InputError as error:
        tokenizer.cautions = (
            f"{error.message}: the text is tokenized by tokenizer.json alone, which was not "
            "compared with it",
        )
        return tokenizer
    tokens = all_declared(model_path)
    difference = first_difference(tokenizer.encode_list, runtime.encode, tokens)
    if difference is None:
        _keep(key)
        return tokenizer
    other = _from_runtime(model_path, runtime)
    other.cautions = (_otherwise(model_path, difference),)
    return other


def _otherwise(model_path: Path, difference: str) -> str:
    name = read_object(model_path / "tokenizer_config.json").get("tokenizer_class")
    why = f" (its tokenizer_class is {shown(name)})" if isinstance(name, str) else ""
    return (
        f"mlx-lm cuts {shown(difference)} otherwise than tokenizer.json says{why}: the text is cut "
        "as mlx-lm does"
    )


def _from_runtime(model_path: Path, runtime: MlxLmTokenizer) -> TextTokenizer:
    """mlx-lm's tokenizer, by its backend of the tokenizers library where that is all there is."""
    name = tokenizer_name(model_path)
    sha256 = files_sha256(model_path, TOKENIZER)
    inner = runtime.tokenizer
    backend = getattr(inner, "backend_tokenizer", None)
    if backend is not None:
        tokenizer = FileTokenizer(backend, name, sha256, _versions(), inner.bos_token)
        tokens = all_declared(model_path)
        if first_difference(tokenizer.encode_list, runtime.encode, tokens) is None:
            return tokenizer
    return PythonTokenizer(inner, name, sha256, _versions())


def _code(model_path: Path) -> tuple[CodeFile, ...]:
    """The Python files that transformers would run."""
    names = [path.name for path in model_path.iterdir()]
    config = read_object(model_path / "config.json") if "config.json" in names else {}
    return hashed_code(model_path, tokenizer_code(model_path, config, names))


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _ids(encode: Callable[[str], Sequence[int]], text: str) -> list[int] | None:
    try:
        return list(encode(text))
    except InputError:
        return None


def _kept(key: str) -> Path:
    return cache_folder() / "tokenizers" / f"{key}.json"


def _keep(key: str) -> None:
    _equal.add(key)
    path = _kept(key)
    with contextlib.suppress(OSError, QfidError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, '{"same_ids_as": "mlx-lm"}\n')
