"""Two outcomes of the same case compared: report, positions column by column, Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]
Positions = dict[tuple[str, int], Columns]

# What two runs of one version do not share: times, memory and the version itself.
_VOLATILE_KEYS = frozenset({"seconds", "peak_memory_bytes"})
_VOLATILE_PATHS = frozenset({"schema", "run.device.memory", "run.versions.qfid"})
_VOLATILE_TEXT = (
    (re.compile(r"(?<=, peak )[^,]*(?=, on )"), "…"),
    (re.compile(r"(?<= in )[^ ]* s_$", re.MULTILINE), "… s_"),
    (re.compile(r"(?<=^- Device: )(.*), [^,]*$", re.MULTILINE), r"\1, …"),
    (re.compile(r"(?<=^- Versions: )(.*?)qfid [^,\n]*", re.MULTILINE), r"\1qfid …"),
)
_MISSING = object()


@dataclass(frozen=True)
class Outcome:
    """What a version makes of a case: the report's JSON, the Markdown, the positions."""

    report: Mapping[str, Any]
    markdown: str
    positions: Positions


@dataclass
class Differences:
    """What differs, in words, and what only the later version has, which is no difference."""

    found: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)


def read_positions(path: Path) -> Positions:
    """The columns of every (setting, chunk) of a ``positions.arrow``; of two the first counts."""
    found: Positions = {}
    with pa.ipc.open_stream(path.read_bytes()) as reader:
        for batch, metadata in reader.iter_batches_with_custom_metadata():
            key = metadata["setting"].decode(), int(metadata["chunk"])
            columns = zip(batch.schema.names, batch.columns, strict=True)
            found.setdefault(key, {name: column.to_numpy() for name, column in columns})
    return found


def compare(before: Outcome, after: Outcome) -> Differences:
    """Everything that differs between two outcomes, times, memory and versions apart."""
    result = Differences()
    _compare_json(before.report, after.report, "", result)
    result.found += _position_differences(before.positions, after.positions, result.added)
    result.found += _text_differences(before.markdown, after.markdown)
    return result


def _compare_json(before: Any, after: Any, path: str, result: Differences) -> None:
    if path in _VOLATILE_PATHS:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            below = f"{path}.{key}" if path else key
            if key not in before:
                result.added.append(f"report {below}")
            elif key not in after:
                result.found.append(f"report {below} is missing")
            elif key not in _VOLATILE_KEYS:
                _compare_json(before[key], after[key], below, result)
    elif isinstance(before, list) and isinstance(after, list):
        for number, (a, b) in enumerate(zip_longest(before, after, fillvalue=_MISSING)):
            name = a["setting"] if isinstance(a, dict) and "setting" in a else number
            if a is _MISSING or b is _MISSING:
                result.found.append(f"report {path} has {len(before)}, now {len(after)} items")
                break
            _compare_json(a, b, f"{path}[{name}]", result)
    # The text of a number tells whole ones from fractions and -0.0 from 0.0.
    elif json.dumps(before) != json.dumps(after):
        result.found.append(f"report {path}: {before!r}, now {after!r}")


def _position_differences(before: Positions, after: Positions, added: list[str]) -> Iterator[str]:
    if not before:
        yield "there are no positions to compare"
    for key in dict.fromkeys((*before, *after)):
        where = f"positions of `{key[0]}`, chunk {key[1]}"
        if key not in before or key not in after:
            yield f"{where}: {'only now' if key in after else 'missing'}"
            continue
        old, new = before[key], after[key]
        added += [f"{where}, column {name}" for name in new if name not in old]
        for name, column in old.items():
            if name not in new:
                yield f"{where}: column {name} is missing"
            elif fault := _column_difference(column, new[name], old.get("position")):
                yield f"{where}, column {name}: {fault}"


def _column_difference(
    old: NDArray[Any], new: NDArray[Any], numbers: NDArray[Any] | None
) -> str | None:
    if old.dtype != new.dtype or old.shape != new.shape:
        return f"{old.shape[0]} × {old.dtype}, now {new.shape[0]} × {new.dtype}"
    if old.tobytes() == new.tobytes():
        return None
    bits = f"u{old.dtype.itemsize}"
    rows = np.flatnonzero(old.view(bits) != new.view(bits))
    row = int(rows[0])
    which = row if numbers is None else int(numbers[row])
    return (
        f"position {which}: {old[row].item()!r}, now {new[row].item()!r} "
        f"({len(rows)} of {len(old)} differ)"
    )


def settled(markdown: str) -> str:
    """A Markdown report without its times, memory and version of qfid."""
    for pattern, replacement in _VOLATILE_TEXT:
        markdown = pattern.sub(replacement, markdown)
    return markdown


def _text_differences(before: str, after: str) -> Iterator[str]:
    lines = zip_longest(settled(before).splitlines(), settled(after).splitlines())
    for number, (a, b) in enumerate(lines, start=1):
        if a != b:
            yield f"Markdown line {number}: {a!r}, now {b!r}"
            return
    if settled(before) != settled(after):
        yield "Markdown: other line ends"
