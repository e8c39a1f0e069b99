"""Command lines a report prints: the one that reproduces it, the one that uses a setting.

Pure standard library.
"""

from __future__ import annotations

import shlex

from scorer.common.inert_text import inert
from scorer.spec.job import Job
from scorer.spec.settings.base import Setting

_GENERATE = "mlx_lm.generate --model"


def shell_word(text: str) -> str:
    """The text as one word of a POSIX-like shell, on one line and without active characters.

    Text with control characters or the like is written ``$'…'`` with escapes, which bash and zsh
    read back exactly.
    """
    if inert(text) == text:
        return shlex.quote(text)
    return "$'" + "".join(_ansi_c(character) for character in text) + "'"


def _ansi_c(character: str) -> str:
    if character in "\\'":
        return "\\" + character
    if inert(character) == character:
        return character
    # Bytes, because the bash of macOS knows no escapes of code points. A lone surrogate from
    # U+DC80 on stands for the byte of a file name that is not UTF-8.
    stands_for_byte = 0xDC80 <= ord(character) <= 0xDCFF
    data = character.encode("utf-8", "surrogateescape" if stands_for_byte else "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in data)


def kv_command(job: Job, revision: str | None = None, *, allow_custom_code: bool = False) -> str:
    """``qfid kv …``: the command that asks for this job; defaults are left out.

    Args:
        job: What was asked.
        revision: Commit the job's revision was found to be; replaces it in the command.
        allow_custom_code: The model runs Python files of its own.
    """
    # What begins with a hyphen would be read as an option.
    model_last = job.model.startswith("-")
    words = ["qfid", "kv", *([] if model_last else [shell_word(job.model)])]
    words += ["--settings", ",".join(setting.key for setting in job.settings)]
    if found := revision or job.revision:
        words += option("--revision", found)
    if job.corpus.source != ("builtin" if job.model == "demo" else "wikitext2"):
        words += option("--corpus", job.corpus.source)
    if job.protocol != "mqf":
        words += ["--protocol", job.protocol]
    if job.chunk_length != 512:
        words += ["--chunk-length", str(job.chunk_length)]
    if job.max_chunks is not None or job.chunks != "first":
        # Named also where it is the default, which is not the same in every version.
        words += ["--chunks", job.chunks]
    if job.max_chunks is not None:
        words += ["--max-chunks", str(job.max_chunks)]
    if job.kernel != "auto":
        words += ["--kernel", job.kernel]
    if job.control:
        words += ["--control"]
    if job.noise_floor:
        words += ["--noise-floor", str(job.noise_floor)]
    if job.batch is not None:
        words += ["--batch", str(job.batch)]
    if allow_custom_code:
        words += ["--allow-custom-code"]
    if job.force:
        words += ["--force"]
    if model_last:
        words += ["--", shell_word(job.model)]
    return " ".join(words)


def option(name: str, value: str) -> list[str]:
    """An option and its value as words of a shell, one if the value begins with a hyphen."""
    word = shell_word(value)
    return [f"{name}={word}"] if value.startswith("-") else [name, word]


def generate_command(model: str, setting: Setting) -> str | None:
    """The ``mlx_lm.generate`` line that uses a setting; None where mlx-lm has no words for it.

    Args:
        model: Repo id or path, as mlx-lm takes it; it knows no ``demo``.
        setting: The setting; mlx-lm knows one width for keys and values alike.
    """
    method = setting.kv_method
    if model == "demo" or not method.is_stock:
        return None
    return (
        f"{_GENERATE} {shell_word(model)} --kv-bits {method.bits} "
        f"--kv-group-size {method.group_size} --quantized-kv-start {setting.start} --prompt …"
    )


def plain_command(model: str) -> str:
    """The ``mlx_lm.generate`` line without a quantized cache.

    Args:
        model: Repo id or path.
    """
    return f"{_GENERATE} {shell_word(model)} --prompt …"
