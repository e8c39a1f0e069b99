"""A GGUF model: one file, or all parts of one that was split."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scorer.common.errors import InputError
from scorer.common.inert_text import shown
from scorer.models.gguf.header import HINT, Header, StoredTensor, read_header

_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE | re.DOTALL)
_MOST_PARTS = 1000


@dataclass(frozen=True, slots=True)
class GGUFFile:
    """A GGUF model as its headers describe it.

    Attributes:
        path: The file that was named: the first part of a model that was split.
        parts: All its files, in their order.
        values: Key to value, of the first part.
        tensors: Name to tensor, of all parts.
    """

    path: Path
    parts: tuple[Path, ...]
    values: Mapping[str, Any]
    tensors: Mapping[str, StoredTensor]

    @property
    def name(self) -> str:
        """Its file name."""
        return self.path.name

    @property
    def architecture(self) -> str:
        """llama.cpp's name of its architecture; "" where it names none."""
        found = self.values.get("general.architecture")
        return found if isinstance(found, str) else ""

    @property
    def stored_bytes(self) -> int:
        """Bytes of its tensors, which is what llama.cpp holds in memory."""
        return sum(tensor.bytes for tensor in self.tensors.values())


def open_gguf(path: Path) -> GGUFFile:
    """Read the headers of a GGUF model.

    Args:
        path: Its file, or the first part of one that was split.

    Raises:
        InputError: It cannot be read, is no whole GGUF file, or a part is missing.
    """
    if not path.exists():
        raise InputError(f"there is no file `{path}`", "give the path of a GGUF file")
    if path.is_dir():
        raise InputError(
            f"`{path}` is a folder, and its name is that of a GGUF file",
            "name the file in it; a folder with a model of MLX needs another name",
        )
    first = read_header(path)
    parts = _parts(path, first)
    tensors: dict[str, StoredTensor] = {}
    for number, part in enumerate(parts):
        header = first if part == path else read_header(part)
        if header is not first and _split(header, part)[0] != number:
            raise InputError(f"`{part.name}` is another part than its name says", HINT)
        for tensor in header.tensors:
            if tensor.name in tensors:
                raise InputError(
                    f"`{part.name}`: another part has the tensor {shown(tensor.name)} too", HINT
                )
            tensors[tensor.name] = tensor
    if not tensors:
        raise InputError(f"`{path.name}` has no tensors", "it holds a vocabulary, not a model")
    return GGUFFile(path, parts, first.values, tensors)


def _parts(path: Path, first: Header) -> tuple[Path, ...]:
    number, count = _split(first, path)
    if count <= 1:
        return (path,)
    named = _PART.fullmatch(path.name)
    if named is None or int(named[3]) != count:
        raise InputError(
            f"`{path.name}` is one of {count} parts, and its name does not say which",
            "name the parts as llama-gguf-split does: NAME-00001-of-00003.gguf",
        )
    suffix = path.suffix
    parts = [path.with_name(f"{named[1]}-{i:05}-of-{count:05}{suffix}") for i in _numbers(count)]
    if number:
        raise InputError(
            f"`{path.name}` is part {number + 1} of {count}", f"name the first: {parts[0].name}"
        )
    missing = [part.name for part in parts if not part.exists()]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            f"`{path.name}` is one of {count} parts, and {shown(missing[0])}{others} "
            f"{'are' if others else 'is'} missing",
            "put all parts in one folder",
        )
    return tuple(parts)


def _numbers(count: int) -> range:
    return range(1, count + 1)


def _split(header: Header, path: Path) -> tuple[int, int]:
    """The number of a part, from 0, and how many there are; 0 and 1 for a whole file."""
    number, count = (header.values.get(f"split.{key}", i) for i, key in enumerate(("no", "count")))
    if type(number) is not int or type(count) is not int or not 0 <= number < max(count, 1):
        raise InputError(f"`{path.name}` contradicts itself about its parts", HINT)
    if count > _MOST_PARTS:
        raise InputError(f"`{path.name}` claims to be one of {count} parts", HINT)
    return number, count
