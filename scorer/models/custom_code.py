"""The Python files of its own that a model would run, and the user's consent to them.

Two things run them: mlx-lm the file that ``model_file`` of ``config.json`` names, and transformers
the files that ``auto_map`` names, where it reads the tokenizer because there is no
``tokenizer.json``. Consent is to the content of files, now: it is given with a call or a request
and stored nowhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scorer.common.errors import CustomCodeRefused, InputError
from scorer.common.inert_text import shown
from scorer.models.config import ModelConfig, read_object, read_small

Consent = bool | Mapping[str, str]
"""What the user allows to run: nothing, whatever is there, or the files of these names (keys) with
this content (values, SHA-256)."""

ALLOW_CUSTOM_CODE = "--allow-custom-code runs it; read it first"


@dataclass(frozen=True, slots=True)
class CodeFile:
    """A Python file that a model would run.

    Attributes:
        name: Its name in the model's folder.
        sha256: SHA-256 of its content, hexadecimal; "" where the folder has no such file.
    """

    name: str
    sha256: str


def model_code(config: dict[str, Any]) -> str | None:
    """Name of the file that ``model_file`` of ``config.json`` names, or None.

    Raises:
        InputError: It is no Python file of the folder.
    """
    name = ModelConfig(config).text("model_file")
    if name is not None and (not name.endswith(".py") or Path(name).name != name):
        raise InputError(
            f"config.json: `model_file` is {shown(name)}, not a Python file of the folder",
            "do not run this model's code",
        )
    return name


def tokenizer_code(folder: Path, config: dict[str, Any], names: Collection[str]) -> tuple[str, ...]:
    """Names of the files that reading the tokenizer would run.

    Args:
        folder: The model's folder.
        config: Content of its ``config.json``.
        names: Names of its files.

    Returns:
        The files that ``auto_map`` names, first; then every other Python file of the folder, which
        these can import.
    """
    if "tokenizer.json" in names:
        return ()
    named = [*_mapped(config, "AutoConfig", "config.json")]
    if "tokenizer_config.json" in names:
        own = read_object(folder / "tokenizer_config.json")
        named = [*_mapped(own, "AutoTokenizer", "tokenizer_config.json"), *named]
    if not named:
        return ()
    others = sorted(name for name in names if name.endswith(".py"))
    return tuple(dict.fromkeys((*named, *others)))


def _mapped(config: dict[str, Any], kind: str, where: str) -> Iterator[str]:
    """The files in which ``auto_map`` says that a class is."""
    mapped = config.get("auto_map")
    # A list alone is the old form for tokenizers.
    if isinstance(mapped, dict):
        mapped = mapped.get(kind)
    elif kind != "AutoTokenizer":
        return
    if not mapped:
        return
    references = [
        reference
        for reference in (mapped if isinstance(mapped, list) else [mapped])
        if reference is not None
    ]
    for reference in references:
        if not isinstance(reference, str):
            yield where
            continue
        # `owner/repo--module.Class` is code of another repo.
        repo, _, name = reference.rpartition("--")
        yield f"{repo}/{name.split('.')[0]}.py" if repo else f"{name.split('.')[0]}.py"


def hashed_code(folder: Path, names: Sequence[str]) -> tuple[CodeFile, ...]:
    """Python files with the hashes of their content.

    A file that cannot be read has none, nor has one outside the folder or of another repo.
    """
    return tuple(CodeFile(name, _sha256(folder, name)) for name in names)


def _sha256(folder: Path, name: str) -> str:
    if Path(name).name != name:
        return ""
    try:
        return hashlib.sha256(read_small(folder / name)).hexdigest()
    except InputError:
        return ""


def hashes(code: Sequence[CodeFile]) -> dict[str, str]:
    """File name to SHA-256: the consent to these files as they are."""
    return {file.name: file.sha256 for file in code}


def described(code: Sequence[CodeFile]) -> str:
    """The files and their hashes in one line."""
    return ", ".join(
        f"{shown(file.name)}: {f'SHA-256 {file.sha256}' if file.sha256 else 'missing'}"
        for file in code
    )


def refusal(code: Sequence[CodeFile], *, of_model: bool, hint: str = "") -> CustomCodeRefused:
    """The error of a model whose code was not allowed to run.

    Args:
        code: The files.
        of_model: The first one is the model's; else it is the tokenizer's.
        hint: What to do instead of allowing it.
    """
    what = "it runs code of its own" if of_model else "its tokenizer is code of its own"
    return CustomCodeRefused(
        f"{what}: {shown(code[0].name)}",
        hint or f"{ALLOW_CUSTOM_CODE} ({described(code)})",
        hashes(code),
    )


def consent_to_json(consent: Consent) -> bool | dict[str, str]:
    """Consent as a JSON value."""
    return consent if isinstance(consent, bool) else dict(consent)


def consent_from_json(data: Any) -> Consent:
    """Read what :func:`consent_to_json` wrote.

    Raises:
        InputError: It is something else.
    """
    if isinstance(data, bool):
        return data
    if isinstance(data, dict) and all(isinstance(value, str) for value in data.values()):
        return data
    raise InputError(
        "`allow_custom_code` must be true, false, or names of files with their SHA-256"
    )


def check_consent(code: Sequence[CodeFile], consent: Consent, *, of_model: bool) -> None:
    """Refuse files that the user did not allow to run.

    Args:
        code: The files as they are now.
        consent: What was allowed.
        of_model: As of :func:`refusal`.

    Raises:
        CustomCodeRefused: The user allowed none of them, or they were changed since.
        InputError: A file is not in the model's folder.
    """
    if not code:
        return
    if not consent:
        raise refusal(code, of_model=of_model)
    for file in code:
        if not file.sha256:
            raise InputError(
                f"{shown(file.name)}, which the model would run, is not in its folder",
                "code of another repo is not run; copy its files into the model's folder",
            )
        if consent is not True and consent.get(file.name) != file.sha256:
            raise CustomCodeRefused(
                f"{shown(file.name)} is not the file that was allowed to run: it has changed",
                f"read it, then allow it again ({described(code)})",
                hashes(code),
            )


def allowed_content(folder: Path, name: str, consent: Consent) -> bytes:
    """Content of a Python file that may run; what is run is to be these bytes.

    Raises:
        CustomCodeRefused: As :func:`check_consent`.
        InputError: It cannot be read.
    """
    content = read_small(folder / name)
    found = CodeFile(name, hashlib.sha256(content).hexdigest())
    check_consent((found,), consent, of_model=True)
    return content
