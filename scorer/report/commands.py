"""Command lines a report prints: the one that reproduces it, the one that uses a setting.

Pure standard library.
"""

from __future__ import annotations

import shlex

from scorer.common.inert_text import inert
from scorer.spec.amounts import bytes_word, tokens_word
from scorer.spec.deployment import DeploymentSpec
from scorer.spec.job import Job
from scorer.spec.settings.base import Setting
from scorer.spec.settings.weights import sources_of

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


def run_command(job: Job, revision: str | None = None, *, allow_custom_code: bool = False) -> str:
    """The command that asks for this job: ``qfid kv``, ``qfid weights`` or ``qfid fit``.

    Args:
        job: What was asked.
        revision: Commit the job's revision was found to be; replaces it in the command.
        allow_custom_code: The model runs Python files of its own.
    """
    where = job.deployment
    if where is None and not job.one_at_a_time and not sources_of(job.settings):
        return kv_command(job, revision, allow_custom_code=allow_custom_code)
    own = ["--one-at-a-time"] if job.one_at_a_time else []
    own += [] if where is None else deployment_options(where)
    # Only `fit` drops settings, and only for a given memory.
    is_fit = job.drop_beaten and where is not None and where.memory is not None
    name = "fit" if is_fit else "weights"
    return _command(name, job, revision, own, allow_custom_code=allow_custom_code)


def kv_command(job: Job, revision: str | None = None, *, allow_custom_code: bool = False) -> str:
    """``qfid kv …``: the command that asks for this job; defaults are left out.

    Arguments as of :func:`run_command`.
    """
    return _command("kv", job, revision, [], allow_custom_code=allow_custom_code)


def deployment_options(spec: DeploymentSpec) -> list[str]:
    """The options that describe a deployment, as words of a shell; defaults are left out.

    Args:
        spec: The deployment; where all is the default, its device is named all the same.
    """
    words = []
    if spec.memory is not None:
        words += ["--memory", bytes_word(spec.memory)]
    if spec.context is not None:
        words += ["--context", tokens_word(spec.context)]
    if spec.parallel != 1:
        words += ["--parallel", str(spec.parallel)]
    if spec.device != "metal" or spec == DeploymentSpec():
        words += ["--device", spec.device]
    if spec.step is not None:
        words += ["--prefill-step-size", str(spec.step)]
    return words


def _command(
    name: str, job: Job, revision: str | None, own: list[str], *, allow_custom_code: bool
) -> str:
    # What begins with a hyphen would be read as an option.
    model_last = job.model.startswith("-")
    words = ["qfid", name, *([] if model_last else [shell_word(job.model)])]
    words += ["--settings", ",".join(setting.key for setting in job.settings), *own]
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
    if job.until_settled:
        words += ["--until-settled"]
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
