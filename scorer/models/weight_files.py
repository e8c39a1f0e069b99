"""Checks a model's weight files: completeness, size, dtype. Reads headers only."""

from __future__ import annotations

import math
import operator
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scorer.common.errors import InputError
from scorer.common.inert_text import shown
from scorer.common.regular_files import open_regular
from scorer.models.config import ModelConfig, decode_object, read_object
from scorer.models.lfs_pointers import refuse_pointer

INDEX = "model.safetensors.index.json"

_MAX_HEADER_BYTES = 100_000_000
_MAX_RANK = 64
_NUMBERED = re.compile(r"(model.*?)-(\d{5,})-of-(\d{5,})\.safetensors")
_DTYPE = re.compile(rb'"dtype"\s*:\s*"(\w+)"')
_OFFSETS = re.compile(rb'"data_offsets"\s*:\s*\[\s*(\d{1,18})\s*,\s*(\d{1,18})\s*\]')
_BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8}
_BYTES = (
    dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1)
    | dict.fromkeys(("U16", "I16", "F16", "BF16"), 2)
    | dict.fromkeys(("U32", "I32", "F32"), 4)
    | dict.fromkeys(("U64", "I64", "F64", "C64"), 8)
)
# For the methods that mlx-lm converts and whose configs may not state a width.
_METHOD_BITS = {
    "bitnet": 2,
    "mxfp4": 4,
    "mxfp8": 8,
    "fp8": 8,
    "compressed-tensors": 4,
    "modelopt": 4,
    "awq": 4,
    "gptq": 4,
}
_DTYPE_SAMPLE = 1 << 12


def is_weight_file(name: str) -> bool:
    """Return whether mlx-lm would load the file: ``model*.safetensors``."""
    return name.startswith("model") and name.endswith(".safetensors")


def weight_paths(folder: Path) -> list[Path]:
    """The files from which mlx-lm is to load weights, sorted by name.

    Raises:
        OSError: The folder cannot be read.
    """
    return sorted(path for path in folder.iterdir() if is_weight_file(path.name))


def missing_shards(folder: Path, names: Iterable[str], *, thorough: bool = True) -> list[str]:
    """Return the absent weight files, by the index or the numbering of the others.

    mlx-lm loads ``model*.safetensors`` and reads no index. So an index counts only where it is
    about these files, and a tensor that it places elsewhere is in none of them.

    Args:
        folder: The model's folder.
        names: Names of the files in it.
        thorough: Read the index also if the numbering states the count.

    Raises:
        InputError: The numbering is absurd; or there are no weight files, and the index is not a
            JSON object that maps weights to file names.
    """
    present = set(names)
    needed: set[str] = set()
    for name in present:
        if numbered := _NUMBERED.fullmatch(name):
            stem, _, count = numbered.groups()
            if int(count) > 10_000:
                raise InputError(
                    f"`{name}` numbers absurdly many shards", "download the model again"
                )
            needed |= {
                f"{stem}-{i:0{len(count)}d}-of-{count}.safetensors"
                for i in range(1, int(count) + 1)
            }
    if INDEX in present and (thorough or not needed):
        needed |= _indexed(folder, present)
    return sorted(needed - present)


def _indexed(folder: Path, present: set[str]) -> set[str]:
    """Names of the weight files that an index needs, if it is about those that are present."""
    weights = sorted(filter(is_weight_file, present))
    try:
        weight_map = _weight_map(folder / INDEX)
    except InputError:
        if weights:
            return set()
        raise
    needed = set(weight_map.values())
    if needed <= present or not weights:
        return needed
    # Copied from the model that this one was made of, whose files had other names.
    if needed.isdisjoint(present):
        return set()
    try:
        held = set().union(*(tensors_of(folder / name) for name in weights))
    except InputError:
        return needed
    return set() if set(weight_map) <= held else needed


def _weight_map(path: Path) -> dict[str, str]:
    weight_map = read_object(path).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(v, str) for v in weight_map.values()):
        raise InputError(f"`{path.name}` maps no weights to files", "download the model again")
    return weight_map


def tensors_of(path: Path) -> dict[str, Any]:
    """The header of a safetensors file: each tensor's description by its name.

    Raises:
        InputError: The file cannot be read, or its header is not JSON.
    """
    try:
        with open_regular(path, keep_access_time=True) as file:
            length = int.from_bytes(file.read(8), "little")
            header = file.read(length) if length <= _MAX_HEADER_BYTES else b""
    except OSError as error:
        raise InputError(f"`{path.name}` cannot be read: {error.strerror or error}", "") from None
    tensors = decode_object(header, f"the header of `{path.name}`")
    tensors.pop("__metadata__", None)
    return tensors


def check_weight_file(path: Path, size: int, *, thorough: bool = True) -> Mapping[str, int]:
    """Compare a safetensors file's header with its size.

    Args:
        path: The file.
        size: Its size in bytes.
        thorough: Parse the header as JSON and check every tensor; else only check whether one
            tensor ends where the file ends.

    Returns:
        The number of tensors of each dtype, among the first tensors of the file.

    Raises:
        InputError: The file is truncated, or its header is not a safetensors header.
    """
    try:
        # Reading a header is not a use of the model: the list is sorted by access time.
        with open_regular(path, keep_access_time=True) as file:
            begin = file.read(40)
            refuse_pointer(path, begin)
            length = int.from_bytes(begin[:8], "little")
            file.seek(8)
            if size < 8 or length > min(size - 8, _MAX_HEADER_BYTES):
                raise _cut_off(path) if length <= _MAX_HEADER_BYTES else _no_header(path)
            header = file.read(length)
    except OSError as error:
        raise InputError(f"`{path.name}` cannot be read: {error.strerror or error}", "") from None
    if not header.startswith(b"{"):
        raise _no_header(path)
    data_bytes = size - 8 - length
    # If a tensor ends where the file ends, nothing is missing: 50 times as fast as parsing.
    if thorough or b"%d]" % data_bytes not in header or not header.rstrip().endswith(b"}"):
        end = None if thorough else _largest_offset(header)
        if (_checked_end(path, header) if end is None else end) > data_bytes:
            raise _cut_off(path)
    counts = Counter(_DTYPE.findall(header[:_DTYPE_SAMPLE]))
    return {dtype.decode(): count for dtype, count in counts.items()}


def _largest_offset(header: bytes) -> int | None:
    """Return where the last tensor ends, without parsing; None if the header must be parsed."""
    offsets = _OFFSETS.findall(header)
    whole = len(offsets) == header.count(b'"data_offsets"') and header.rstrip().endswith(b"}")
    if not offsets or not whole:
        return None
    starts, ends = ([*map(int, side)] for side in zip(*offsets, strict=True))
    return None if any(map(operator.gt, starts, ends)) else max(ends)


def _checked_end(path: Path, header: bytes) -> int:
    end = 0
    try:
        tensors = decode_object(header, f"the header of `{path.name}`")
    except InputError as error:
        raise InputError(error.message, "") from None
    for name, tensor in tensors.items():
        if name == "__metadata__":
            continue
        start, stop, shape, dtype = described(path, tensor)
        # MLX reads as many bytes as the shape needs, even beyond the tensor.
        if dtype in _BYTES and math.prod(shape) * _BYTES[dtype] != stop - start:
            raise InputError(
                f"`{path.name}` contradicts itself: {shown(name)} of shape {shown(shape)} does not "
                f"take {shown(stop - start)} bytes",
                "",
            )
        end = max(end, stop)
    return end


def described(path: Path, tensor: Any) -> tuple[int, int, list[int], str]:
    """Return the first byte, the byte after the last, shape and dtype of a tensor.

    Raises:
        InputError: One of them is missing, of the wrong type or negative.
    """
    if isinstance(tensor, dict):
        offsets, shape = _sizes(tensor.get("data_offsets")), _sizes(tensor.get("shape"))
        dtype = tensor.get("dtype")
        if (
            offsets is not None
            and len(offsets) == 2
            and offsets[0] <= offsets[1]
            and shape is not None
            and isinstance(dtype, str)
        ):
            return offsets[0], offsets[1], shape, dtype
    raise _no_header(path)


def _sizes(values: Any) -> list[int] | None:
    """Return a short list of sizes, or None for any other value."""
    if not isinstance(values, list) or len(values) > _MAX_RANK:
        return None
    return values if all(type(value) is int and 0 <= value < 1 << 63 for value in values) else None


def bits_of(dtypes: Mapping[str, int]) -> float | None:
    """Return the bits per weight of the most common floating-point dtype, or None without one."""
    floats = {dtype: count for dtype, count in dtypes.items() if dtype in _BITS}
    return float(_BITS[max(floats, key=floats.__getitem__)]) if floats else None


def quantized_bits(config: dict[str, Any]) -> float | None:
    """Return the bits per weight of the quantization that a config states, or None.

    Raises:
        InputError: The description of the quantization has values of the wrong type.
    """
    whole = ModelConfig(config)
    text = whole.section("text_config") or whole
    for part in (whole, text):
        for key in ("quantization", "quantization_config"):
            section = part.section(key)
            if section is None:
                continue
            method = section.text("quant_method")
            bits = section.optional_integer("bits", high=32)
            if bits is not None or method in _METHOD_BITS:
                return float(bits or _METHOD_BITS[method or ""])
    return None


def _cut_off(path: Path) -> InputError:
    return InputError(f"`{path.name}` is cut off: it is shorter than its header says", "")


def _no_header(path: Path) -> InputError:
    return InputError(f"`{path.name}` is not a safetensors file", "")
