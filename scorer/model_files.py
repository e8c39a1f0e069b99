"""What lies in a model's folder, and whether it is a model that can be scored."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from scorer.errors import InputError
from scorer.model_config import read_object
from scorer.weight_files import is_weight_file, missing_shards

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tiktoken.model", "vocab.txt", "spiece.model")

ALLOW_CUSTOM_CODE = "--allow-custom-code runs it; read it first"


@dataclass(slots=True)
class ModelFiles:
    """The files directly inside a model's folder.

    Attributes:
        folder: The folder.
        sizes: Bytes of each file that can be read.
        dangling: Names that point at a file that is not there, as an interrupted download leaves.
        last_used: When a weight file was last read or written, unix time, or None.
    """

    folder: Path
    sizes: dict[str, int] = field(default_factory=dict)
    dangling: list[str] = field(default_factory=list)
    last_used: float | None = None

    @property
    def weights(self) -> dict[str, int]:
        """Bytes of each file that mlx-lm would load weights from."""
        return {name: size for name, size in self.sizes.items() if is_weight_file(name)}


def scan_folder(folder: Path) -> ModelFiles:
    """List a model's folder.

    Raises:
        InputError: The folder cannot be read.
    """
    files = ModelFiles(folder)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    stat = entry.stat()
                except OSError:
                    files.dangling.append(entry.name)
                    continue
                if entry.is_dir():
                    continue
                files.sizes[entry.name] = stat.st_size
                if is_weight_file(entry.name):
                    # Weights only: listing models reads their small files.
                    used = max(stat.st_atime, stat.st_mtime)
                    files.last_used = max(files.last_used or used, used)
    except OSError as error:
        raise InputError(f"`{folder}` cannot be read: {error.strerror or error}", "") from None
    return files


def check_is_model(files: ModelFiles) -> None:
    """Refuse a folder without ``config.json``, saying what it is instead.

    Raises:
        InputError: There is no ``config.json``.
    """
    sizes = files.sizes
    if "config.json" in sizes:
        return
    hint = "give the folder of a model with config.json, weights and a tokenizer"
    if "config.json" in files.dangling:
        raise InputError("config.json is missing: the download was interrupted", "")
    if any(name.endswith(".gguf") for name in sizes):
        raise _gguf()
    if "adapter_config.json" in sizes:
        raise InputError(
            "it is an adapter, not a model", "fuse it into its base model first: mlx_lm.fuse"
        )
    if "model_index.json" in sizes:
        raise InputError("it is an image pipeline, not a language model", hint)
    raise InputError("it is no model: there is no config.json", hint)


def check_weights(files: ModelFiles, *, thorough: bool = True) -> None:
    """Refuse a folder whose weights are missing, incomplete or of another format.

    Raises:
        InputError: Says which file, or which format.
    """
    dangling = sorted(name for name in files.dangling if is_weight_file(name))
    if dangling:
        raise InputError(f"`{dangling[0]}` is missing: the download was interrupted", "")
    if missing := missing_shards(files.folder, files.sizes, thorough=thorough):
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(f"`{missing[0]}`{others} of its weight files is missing", "")
    if files.weights:
        return
    names = sorted(files.sizes)
    if any(name.endswith(".gguf") for name in names):
        raise _gguf()
    safetensors = [name for name in names if name.endswith(".safetensors")]
    if safetensors:
        raise InputError(
            f"mlx-lm loads `model*.safetensors` and there is only `{safetensors[0]}`",
            "convert the model with mlx_lm.convert, or use an MLX version of it",
        )
    pickles = [name for name in names if name.endswith((*_PICKLES, ".npz"))]
    if pickles:
        raise InputError(
            f"its weights are only `{pickles[0]}`, a format that can run code; safetensors needed",
            "use a version of the model with safetensors weights",
        )
    raise InputError("it has config.json but no weights", "")


def _gguf() -> InputError:
    return InputError(
        "its weights are GGUF, which mlx-lm does not run", "use an MLX version of the model"
    )


def check_tokenizer(files: ModelFiles, *, allow_custom_code: bool) -> None:
    """Refuse a folder without a tokenizer, or with one that is a program.

    Raises:
        InputError: There is no tokenizer file, or the tokenizer is Python code of the repo's own
            and ``allow_custom_code`` is false.
    """
    names = files.sizes
    if "tokenizer.json" in names:
        return
    if "tokenizer.json" in files.dangling:
        raise InputError("`tokenizer.json` is missing: the download was interrupted", "")
    if not allow_custom_code and (code := _tokenizer_code(files)):
        raise InputError(f"its tokenizer is code of its own: `{code}`", ALLOW_CUSTOM_CODE)
    found = any(name in _TOKENIZERS or name.endswith(".tiktoken") for name in names)
    if not found and not {"vocab.json", "merges.txt"} <= set(names):
        raise InputError("it has no tokenizer: neither `tokenizer.json` nor `tokenizer.model`", "")


def _tokenizer_code(files: ModelFiles) -> str | None:
    if "tokenizer_config.json" not in files.sizes:
        return None
    mapped = read_object(files.folder / "tokenizer_config.json").get("auto_map")
    if not mapped:
        return None
    classes = mapped.get("AutoTokenizer") if isinstance(mapped, dict) else mapped
    first = classes[0] if isinstance(classes, list) and classes else classes
    if not isinstance(first, str):
        return "tokenizer_config.json"
    return first.rsplit("--", maxsplit=1)[-1].split(".")[0] + ".py"
