"""Reads the header of a GGUF file: its values, and where its tensors lie. Reads no weights.

Everything in the file is foreign: counts, lengths and offsets are held against the size of the file
and against bounds before anything is read or kept. Pure standard library; the reader of the package
``gguf`` believes what a file says.

Source: ``docs/gguf.md`` of ggml, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import array
import math
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from scorer.common.errors import InputError
from scorer.common.inert_text import shown
from scorer.common.regular_files import open_regular
from scorer.models.gguf.tensor_types import TENSOR_TYPES, TensorType
from scorer.models.lfs_pointers import refuse_pointer

TOKENS = "tokenizer.ggml.tokens"
"""The key of the list of tokens, the one long list that is kept."""

HINT = "download the file again, or convert the model again"

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
# Vocabularies of 260 000 tokens with their merges take 20 MB.
_MAX_HEADER_BYTES = 1 << 26
_MAX_VALUES = 1 << 16
_MAX_TENSORS = 1 << 17
_MAX_NAME = 1 << 12
_MAX_STRINGS = 1 << 21
_MAX_RANK = 4
_MAX_ELEMENTS = 1 << 48
_MAX_ALIGNMENT = 1 << 20
_DEFAULT_ALIGNMENT = 32
# What is kept of a value: names, not chat templates; a number for each layer, not for each token.
_KEPT_STRING = 1 << 12
_KEPT_NUMBERS = 1 << 12
_ALL_NUMBERS = 1 << 20

_STRING, _ARRAY, _BOOL = 8, 9, 7
# Type of a value to its format as of the module struct.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
_SCALARS |= {12: "d"}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as a file describes it.

    Attributes:
        name: llama.cpp's name of it, such as ``blk.0.attn_q.weight``.
        type: Its type.
        shape: Its shape, rows first, as NumPy has it; the file has the reverse.
        start: Its first byte in the file.
        bytes: Its bytes.
        file: The file that holds it.
    """

    name: str
    type: TensorType
    shape: tuple[int, ...]
    start: int
    bytes: int
    file: Path

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """The header of one file.

    Attributes:
        values: Key to value. Long strings and lists other than that of the tokens are not kept:
            None stands for them.
        tensors: Its tensors, in their order.
    """

    values: Mapping[str, Any]
    tensors: tuple[StoredTensor, ...]


def read_header(path: Path) -> Header:
    """Read the header of a file and check that the file is whole.

    Args:
        path: The file.

    Raises:
        InputError: It cannot be read, is no GGUF, or contradicts itself; or it has tensors of a
            type that cannot be dequantized.
    """
    try:
        with open_regular(path, keep_access_time=True) as file:
            file.seek(0, 2)
            size = file.tell()
            file.seek(0)
            return _Reader(path, file, size).header()
    except OSError as error:
        raise InputError(f"`{path}` cannot be read: {error.strerror or error}", "") from None


class _Reader:
    """Reads one header from its begin to its end."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self._path = path
        self._file = file
        self._size = size
        self._left = min(size, _MAX_HEADER_BYTES)
        self._strings = _MAX_STRINGS
        self._numbers = _ALL_NUMBERS

    def header(self) -> Header:
        begin = self._file.read(64)
        self._file.seek(0)
        refuse_pointer(self._path, begin)
        if not begin.startswith(_MAGIC):
            raise InputError(f"`{self._path.name}` is no GGUF file", HINT)
        self._skip(len(_MAGIC))
        version = self._number("I")
        if version not in _VERSIONS:
            swapped = int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS
            what = "big-endian GGUF" if swapped else f"GGUF of version {version}"
            raise InputError(
                f"`{self._path.name}` is {what}, and versions 2 and 3, little-endian, are read",
                "convert the model again with a newer llama.cpp",
            )
        tensor_count, value_count = self._number("Q"), self._number("Q")
        if tensor_count > _MAX_TENSORS or value_count > _MAX_VALUES:
            raise self._wrong("it claims an absurd number of tensors or values")
        values = self._values(value_count)
        return Header(values, self._tensors(tensor_count, self._alignment(values)))

    def _values(self, count: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for _ in range(count):
            key = self._string(_MAX_NAME)
            if key in values:
                raise self._wrong(f"it has {shown(key)} twice")
            values[key] = self._value(self._number("I"), keep_all=key == TOKENS)
        return values

    def _value(self, kind: int, *, keep_all: bool) -> Any:
        if kind == _STRING:
            length = self._number("Q")
            return self._text(length) if length <= _KEPT_STRING else self._skip(length)
        if kind in _SCALARS:
            return self._number(_SCALARS[kind])
        if kind != _ARRAY:
            raise self._wrong(f"a value has the unknown type {kind}")
        item, length = self._number("I"), self._number("Q")
        if item == _STRING:
            return self._list_of_strings(length, keep=keep_all)
        if item not in _SCALARS:
            raise self._wrong(f"a list holds values of type {item}")
        code = _SCALARS[item]
        item_bytes = struct.calcsize(f"<{code}")
        if length > min(_KEPT_NUMBERS, self._numbers):
            return self._skip(length * item_bytes)
        self._numbers -= length
        return list(struct.unpack(f"<{length}{code}", self._take(length * item_bytes)))

    def _list_of_strings(self, length: int, *, keep: bool) -> list[str] | None:
        self._strings -= length
        if self._strings < 0:
            raise self._wrong("its lists of texts are absurdly long")
        found = []
        for _ in range(length):
            item = self._take(self._number("Q"))
            if keep:
                # What is not UTF-8 is not equal to any token, and can be shown.
                found.append(item.decode(errors="surrogateescape"))
        return found if keep else None

    def _alignment(self, values: Mapping[str, Any]) -> int:
        found = values.get("general.alignment", _DEFAULT_ALIGNMENT)
        if type(found) is not int or not 0 < found <= _MAX_ALIGNMENT or found & (found - 1):
            raise self._wrong(f"its alignment is {shown(found)}")
        return found

    def _tensors(self, count: int, alignment: int) -> tuple[StoredTensor, ...]:
        described = [self._described() for _ in range(count)]
        start = -(-self._file.tell() // alignment) * alignment
        found: dict[str, StoredTensor] = {}
        for name, kind, shape, offset in described:
            if name in found:
                raise self._wrong(f"it has the tensor {shown(name)} twice")
            rows = math.prod(shape[:-1])
            size = rows * (shape[-1] // kind.block_elements) * kind.block_bytes
            if offset % alignment:
                raise self._wrong(f"the tensor {shown(name)} begins at an odd place")
            if start + offset + size > self._size:
                raise InputError(
                    f"`{self._path.name}` is cut off: it is shorter than its header says", HINT
                )
            found[name] = StoredTensor(name, kind, shape, start + offset, size, self._path)
        end = start
        for each in sorted(found.values(), key=lambda tensor: tensor.start):
            if each.start < end:
                raise self._wrong(f"the tensor {shown(each.name)} lies over another")
            end = each.start + each.bytes
        return tuple(found.values())

    def _described(self) -> tuple[str, TensorType, tuple[int, ...], int]:
        name = self._string(_MAX_NAME)
        rank = self._number("I")
        if not 0 < rank <= _MAX_RANK:
            raise self._wrong(f"the tensor {shown(name)} has {rank} dimensions")
        shape = struct.unpack(f"<{rank}Q", self._take(8 * rank))[::-1]
        number, offset = self._number("I"), self._number("Q")
        if not 0 < math.prod(shape) <= _MAX_ELEMENTS:
            raise self._wrong(f"the tensor {shown(name)} has an absurd shape")
        kind = TENSOR_TYPES.get(number)
        if kind is None:
            raise InputError(
                f"`{self._path.name}`: the tensor {shown(name)} is of a type that cannot be "
                f"dequantized here ({number})",
                "name a file of the usual types: Q8_0, Q4_K, IQ4_XS, F16 …",
            )
        if shape[-1] % kind.block_elements:
            raise self._wrong(
                f"the rows of {shown(name)} are no whole blocks of {kind.block_elements} elements"
            )
        return name, kind, shape, offset

    def _string(self, most: int) -> str:
        length = self._number("Q")
        if length > most:
            raise self._wrong("a name in it is absurdly long")
        return self._text(length)

    def _text(self, length: int) -> str:
        return self._take(length).decode(errors="surrogateescape")

    def _number(self, code: str) -> Any:
        (found,) = struct.unpack(f"<{code}", self._take(struct.calcsize(f"<{code}")))
        return found

    def _skip(self, count: int) -> None:
        self._count(count)
        self._file.seek(count, 1)

    def _take(self, count: int) -> bytes:
        self._count(count)
        found = self._file.read(count)
        if len(found) != count:
            raise self._wrong("it ends before its header does")
        return found

    def _count(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise self._wrong("its header is longer than the file, or than any model's")

    def _wrong(self, what: str) -> InputError:
        return InputError(f"`{self._path.name}` is no whole GGUF file: {what}", HINT)


def read_floats(tensor: StoredTensor, most: int) -> list[float] | None:
    """The values of a small tensor of float32; None where it is of another type or larger.

    Args:
        tensor: The tensor.
        most: Elements that it may have.

    Raises:
        InputError: It cannot be read.
    """
    if tensor.type.name != "F32" or tensor.elements > most:
        return None
    found = array.array("f")
    try:
        with open_regular(tensor.file, keep_access_time=True) as file:
            file.seek(tensor.start)
            found.frombytes(file.read(tensor.bytes))
    except (OSError, ValueError) as error:
        raise InputError(f"`{tensor.file}` cannot be read: {error}", "") from None
    if sys.byteorder == "big":
        found.byteswap()
    return found.tolist()
