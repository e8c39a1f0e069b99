"""Lists the files of a model's folder and checks that they make a model that can be scored."""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scorer.common.errors import InputError
from scorer.common.inert_text import inert, shown
from scorer.models.model_content import is_read
from scorer.models.weight_files import is_weight_file, missing_shards

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tiktoken.model", "vocab.txt", "spiece.model")

_TO_BLOBS = "../../blobs/"
_INTERRUPTED = "is missing: the download was interrupted"
_CIRCLE = "is a link that leads back to itself"
_OUTSIDE = "is a link that leads out of the cache"


@dataclass(slots=True)
class ModelFiles:
    """The files directly inside a model's folder.

    Attributes:
        folder: The folder.
        sizes: Bytes of each file that can be read.
        broken: Other names, and why they cannot be read: a link to a missing file, as after an
            interrupted download, a circular link, or a link out of the cache.
        special: Names under which there is no file: a pipe, a socket, a device, or a folder where
            a file would be read; and what it is. Opening one may never end.
        last_used: When a weight file was last read or written, unix time, or None.
    """

    folder: Path
    sizes: dict[str, int] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    special: dict[str, str] = field(default_factory=dict)
    last_used: float | None = None

    @property
    def weights(self) -> dict[str, int]:
        """Bytes of each file from which mlx-lm would load weights."""
        return {name: size for name, size in self.sizes.items() if is_weight_file(name)}


def scan_folder(folder: Path, within: Sequence[str] = ()) -> ModelFiles:
    """List a model's folder.

    Args:
        folder: The folder.
        within: Real paths of the folders that links may lead to; if empty, links may lead
            anywhere, as in a folder of the user's own.

    Raises:
        InputError: The folder cannot be read, or is a link out of ``within``.
    """
    files = ModelFiles(folder)
    real = os.path.realpath(folder)
    if within and not _is_inside(real, within):
        raise InputError(f"its snapshot {_OUTSIDE}", "remove that link and pull the model again")
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    found = _stat_of(entry, real, within)
                except _Unreadable as error:
                    files.broken[entry.name] = str(error)
                    continue
                if stat.S_ISDIR(found.st_mode):
                    if is_read(entry.name):
                        files.special[entry.name] = "is a folder"
                    continue
                if not stat.S_ISREG(found.st_mode):
                    files.special[entry.name] = "is no regular file"
                    continue
                files.sizes[entry.name] = found.st_size
                if is_weight_file(entry.name):
                    # Only weights: listing the models reads their small files.
                    used = max(found.st_atime, found.st_mtime)
                    files.last_used = max(files.last_used or used, used)
    except OSError as error:
        raise InputError(f"`{folder}` cannot be read: {error.strerror or error}", "") from None
    return files


class _Unreadable(Exception):
    """Why a directory entry cannot be read."""


def _stat_of(entry: os.DirEntry[str], real: str, within: Sequence[str]) -> os.stat_result:
    """Return the status of a file; links are followed if they stay inside ``within``.

    Raises:
        _Unreadable: The target of a link is missing or outside ``within``.
    """
    try:
        if within and entry.is_symlink():
            return _stat_of_link(entry, real, within)
        return entry.stat()
    except OSError as error:
        raise _Unreadable(_CIRCLE if error.errno == errno.ELOOP else _INTERRUPTED) from None


def _stat_of_link(entry: os.DirEntry[str], real: str, within: Sequence[str]) -> os.stat_result:
    target = os.readlink(entry.path)  # noqa: PTH115 (listing models reads thousands of links)
    blob = target.removeprefix(_TO_BLOBS)
    if blob != target and "/" not in blob and _is_inside(_grandparent(real), within):
        # The usual link of a cache; resolving the path instead takes ten times as long.
        path = f"{real}/{target}"
        found = os.lstat(path)
        if not stat.S_ISLNK(found.st_mode):
            return found
        # No library links blobs: their owner has moved large ones to another disk.
        if is_weight_file(entry.name):
            return _stat_of_moved(entry, path)
    found = entry.stat()
    if not _is_inside(os.path.realpath(entry.path), within):
        raise _Unreadable(_OUTSIDE)
    return found


def _stat_of_moved(entry: os.DirEntry[str], blob: str) -> os.stat_result:
    try:
        return entry.stat()
    except FileNotFoundError:
        moved = inert(os.readlink(blob))  # noqa: PTH115 (as above)
        raise _Unreadable(f"is a link to {moved}, which is not there") from None


def _grandparent(path: str) -> str:
    return path.rpartition("/")[0].rpartition("/")[0]


def _is_inside(path: str, folders: Sequence[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def check_regular(files: ModelFiles) -> None:
    """Refuse a folder in which a file name stands for something that is no file.

    Libraries open files that they find by name, whether they need them or not.

    Raises:
        InputError: There is such a name.
    """
    for name, what in sorted(files.special.items()):
        raise InputError(f"{shown(name)} {what}", "remove it from the model's folder")


def check_links(files: ModelFiles) -> None:
    """Refuse a folder in which a file that is read is a link out of the cache.

    Raises:
        InputError: There is such a link.
    """
    for name, why in sorted(files.broken.items()):
        if why == _OUTSIDE and is_read(name):
            raise InputError(f"{shown(name)} {why}", "")


def check_is_model(files: ModelFiles) -> None:
    """Refuse a folder without ``config.json``; the message says what it seems to be.

    Raises:
        InputError: There is no ``config.json``.
    """
    sizes = files.sizes
    if "config.json" in sizes:
        return
    hint = "give the folder of a model with config.json, weights and a tokenizer"
    if "config.json" in files.broken:
        raise InputError(f"config.json {files.broken['config.json']}", "")
    if any(name.endswith(".gguf") for name in sizes):
        raise _gguf()
    if "adapter_config.json" in sizes:
        folder = shlex.quote(str(files.folder)) if files.folder.is_dir() else "FOLDER"
        raise InputError(
            "it is an adapter, not a model",
            f"fuse it into its base model: mlx_lm.fuse --model BASE --adapter-path {folder}",
        )
    if "model_index.json" in sizes:
        raise InputError("it is an image pipeline, not a language model", hint)
    raise InputError("it is not a model: there is no config.json", hint)


def check_weights(files: ModelFiles, *, thorough: bool = True) -> None:
    """Refuse a folder whose weights are missing, incomplete or in another format.

    Raises:
        InputError: The weights cannot be used; the message names the file or the format.
    """
    broken = sorted(name for name in files.broken if is_weight_file(name))
    if broken:
        raise InputError(f"{shown(broken[0])} {files.broken[broken[0]]}", "")
    if missing := missing_shards(files.folder, files.sizes, thorough=thorough):
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            f"{shown(missing[0])}{others} of its weight files {'are' if others else 'is'} missing",
            "",
        )
    if files.weights:
        return
    names = sorted(files.sizes)
    if any(name.endswith(".gguf") for name in names):
        raise _gguf()
    safetensors = [name for name in names if name.endswith(".safetensors")]
    if safetensors:
        raise InputError(
            f"mlx-lm loads `model*.safetensors` and there is only {shown(safetensors[0])}",
            "if it is the whole model, rename it to `model.safetensors`; else use an MLX version",
        )
    pickles = [name for name in names if name.endswith((*_PICKLES, ".npz"))]
    if pickles:
        raise InputError(
            f"its weights are only {shown(pickles[0])}, a format that can run code",
            "use a version of the model with safetensors weights",
        )
    if _was_interrupted(files.folder):
        raise InputError("it has no weights yet: the download was interrupted", "")
    raise InputError("it has config.json but no weights", "")


def _was_interrupted(snapshot: Path) -> bool:
    """Return whether an interrupted download left a partial file in the cache."""
    return any((snapshot.parent.parent / "blobs").glob("*.incomplete"))


def _gguf() -> InputError:
    return InputError(
        "its weights are GGUF, which mlx-lm does not run", "use an MLX version of the model"
    )


def check_tokenizer(files: ModelFiles) -> None:
    """Refuse a folder without a tokenizer.

    Raises:
        InputError: There is no tokenizer file.
    """
    names = files.sizes
    if "tokenizer.json" in names:
        return
    if "tokenizer.json" in files.broken:
        raise InputError(f"`tokenizer.json` {files.broken['tokenizer.json']}", "")
    found = any(name in _TOKENIZERS or name.endswith(".tiktoken") for name in names)
    if found or {"vocab.json", "merges.txt"} <= set(names):
        return
    if "tekken.json" in names:
        raise InputError(
            "its only tokenizer is `tekken.json`, which is read by mistral-common alone",
            "use a version of the model that has `tokenizer.json`",
        )
    raise InputError("it has no tokenizer: neither `tokenizer.json` nor `tokenizer.model`", "")
