"""Tensors that a model's weight files hold twice, or in place of one that is shared.

mlx-lm loads every ``model*.safetensors`` in the order of the file system, and of a tensor that it
meets twice the later one stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scorer.common.errors import InputError
from scorer.common.inert_text import shown
from scorer.common.regular_files import open_regular
from scorer.models.weight_files import tensors_of

_BLOCK = 1 << 20


def check_repeated_tensors(folder: Path, names: Iterable[str]) -> None:
    """Refuse weight files of which two hold a tensor of one name and different content.

    Args:
        folder: The model's folder.
        names: Names of its weight files, whose headers have been checked.

    Raises:
        InputError: Two of them do; the message names both. Or one cannot be read.
    """
    first: dict[str, tuple[Path, Any]] = {}
    ordered = sorted(names)
    for name in ordered if len(ordered) > 1 else ():
        path = folder / name
        for tensor, described in tensors_of(path).items():
            earlier = first.setdefault(tensor, (path, described))
            if earlier[0] != path and not _equal(*earlier, path, described):
                raise InputError(
                    f"`{earlier[0].name}` and `{name}` both hold {shown(tensor)} and differ; "
                    "mlx-lm would load either",
                    f"move the one that is not meant out of {folder}",
                )


def untied_head(folder: Path, names: Iterable[str]) -> str | None:
    """Name of the tensor of an output layer that is not the token embedding again.

    Args:
        folder: The model's folder.
        names: Names of its weight files, whose headers have been checked.

    Returns:
        The name; None where the files hold no such tensor, or no embedding of the usual name.

    Raises:
        InputError: A file cannot be read.
    """
    found: dict[str, tuple[str, Path, Any]] = {}
    for name in sorted(names):
        for tensor, described in tensors_of(folder / name).items():
            for end in ("lm_head.weight", "embed_tokens.weight"):
                if tensor == end or tensor.endswith(f".{end}"):
                    found[end] = (tensor, folder / name, described)
    if len(found) < 2:
        return None
    head, embedding = found["lm_head.weight"], found["embed_tokens.weight"]
    return None if _equal(*head[1:], *embedding[1:]) else head[0]


def _equal(a: Path, of_a: Any, b: Path, of_b: Any) -> bool:
    if any(of_a[key] != of_b[key] for key in ("dtype", "shape")):
        return False
    try:
        with open_regular(a) as file_a, open_regular(b) as file_b:
            left = _to_tensor(file_a, of_a)
            _to_tensor(file_b, of_b)
            while left > 0:
                block = file_a.read(min(left, _BLOCK))
                if not block or block != file_b.read(len(block)):
                    return False
                left -= len(block)
    except OSError as error:
        raise InputError(f"the weights cannot be read: {error.strerror or error}", "") from None
    return True


def _to_tensor(file: Any, described: Any) -> int:
    """Seek to a tensor; return its bytes."""
    start, stop = described["data_offsets"]
    file.seek(8 + int.from_bytes(file.read(8), "little") + start)
    return int(stop - start)
