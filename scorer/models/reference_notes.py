"""What a report has to say of the precision of its reference.

Drift is measured against the reference, so whatever its own weights lost before stays unseen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from scorer.common.errors import InputError
from scorer.common.inert_text import shown
from scorer.common.regular_files import open_regular
from scorer.models.disagreements import name_differs
from scorer.models.weight_files import described, tensors_of, weight_paths
from scorer.models.weight_tensors import BYTES, FLOATS

if TYPE_CHECKING:
    from scorer.models.info import ModelInfo
    from scorer.models.weight_precision import WeightPrecision

_HOW_MANY = 3
# The smallest group of a usual 4-bit format; 16 levels are those of 4 bits.
_GROUP, _LEVELS = 32, 16
_ROWS, _GROUPS_OF_A_ROW, _TENSORS = 16, 8, 24
# Fewer say nothing: a matrix of zeros and ones, as tests have.
_FEW = 3
# One matrix of few values may be a table.
_LEAST = 2


def reference_notes(info: ModelInfo, precision: WeightPrecision) -> tuple[str, ...]:
    """What a report says of the precision of its reference, a sentence each.

    Args:
        info: The reference.
        precision: Its precision.

    Returns:
        First in what it is stored, and that this is not full precision where it is quantized;
        then what its name and its config say otherwise, and whether its values look as if they had
        been quantized before.
    """
    what = f"The reference is stored in {precision.line}"
    if precision.is_quantized:
        notes = [f"{what}: not full precision, so what its quantization lost is not measured."]
    else:
        notes = [f"{what}."]
    differs = name_differs(info.name, precision)
    found = [differs] if differs is not None else []
    found += precision.disagreements
    notes += [f"Of the reference: {each}." for each in found[:_HOW_MANY]]
    if len(found) > _HOW_MANY:
        notes.append(f"Of the reference: {len(found) - _HOW_MANY} more of this kind.")
    coarse = None if precision.is_quantized else coarse_weights(info.path)
    if coarse is not None:
        bits = math.ceil(math.log2(coarse.levels))
        notes.append(
            f"In {coarse.found} of {coarse.looked_at} matrices of the reference that were looked "
            f"at, as in {shown(coarse.name)}, the values take at most {coarse.levels} levels in "
            f"each group of {_GROUP}: they were probably made from weights of {bits} bits, and "
            "what those lost is not measured."
        )
    return tuple(notes)


@dataclass(frozen=True, slots=True)
class CoarseWeights:
    """Matrices that take few values in each group.

    Attributes:
        name: Name of one of them.
        levels: The most values that a group of any of them takes.
        found: How many there are.
        looked_at: Among how many.
    """

    name: str
    levels: int
    found: int
    looked_at: int


def coarse_weights(folder: Path) -> CoarseWeights | None:
    """Whether floating-point weights seem to be dequantized ones, of 4 bits or fewer.

    Quantized weights take few values in each group. Some groups of some matrices are read.

    Args:
        folder: The model's folder.

    Returns:
        What was found; None if fewer than two matrices are like that, or a file cannot be read.
    """
    found: dict[str, int] = {}
    looked_at = 0
    try:
        matrices = [each for path in weight_paths(folder) for each in _matrices(path)]
        for path, name, description in matrices[:: max(1, len(matrices) // _TENSORS)]:
            looked_at += 1
            most = _most_levels(path, description)
            if most is not None and _FEW <= most <= _LEVELS:
                found[name] = most
    except (InputError, OSError):
        return None
    if len(found) < _LEAST:
        return None
    return CoarseWeights(next(iter(found)), max(found.values()), len(found), looked_at)


def _matrices(path: Path) -> Iterator[tuple[Path, str, Any]]:
    for name, description in tensors_of(path).items():
        _, _, shape, dtype = described(path, description)
        if dtype in FLOATS and len(shape) > 1 and name.endswith(".weight"):
            if shape[-1] >= _GROUP and math.prod(shape[:-1]) >= _ROWS and "norm" not in name:
                yield path, name, description


def _most_levels(path: Path, described: Mapping[str, Any]) -> int | None:
    """The most values that one of some groups takes."""
    size, width = BYTES[described["dtype"]], described["shape"][-1]
    rows = math.prod(described["shape"][:-1])
    most = 0
    with open_regular(path, keep_access_time=True) as file:
        start = 8 + int.from_bytes(file.read(8), "little") + described["data_offsets"][0]
        for row in range(0, rows, max(1, rows // _ROWS)):
            for at in range(0, width - _GROUP + 1, max(_GROUP, _aligned(width))):
                file.seek(start + (row * width + at) * size)
                most = max(most, _levels(file, size))
                if most > _LEVELS:
                    return None
    return most


def _aligned(width: int) -> int:
    """Steps over a row that begin where groups begin."""
    return width // _GROUPS_OF_A_ROW // _GROUP * _GROUP


def _levels(file: BinaryIO, size: int) -> int:
    values = file.read(_GROUP * size)
    return len({values[at : at + size] for at in range(0, len(values), size)})
