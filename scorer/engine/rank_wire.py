"""What ranks say to each other in exchanges: JSON, and the arrays that follow it.

A message of rank 0 says what is next; those of the others are empty then, or the outcomes of their
share. A position is 48 bytes: the columns of :class:`~scorer.stats.positions.Positions` that its
batch does not hold already.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.common.error_text import first_line, named_line
from scorer.common.error_values import error_of, error_values
from scorer.common.errors import QfidError, WillNotFit
from scorer.common.foreign_packages import foreign_import
from scorer.common.json_reader import JsonReader
from scorer.common.json_values import json_values
from scorer.common.out_of_memory import is_out_of_memory
from scorer.common.process_limits import limit_reached
from scorer.engine.outcomes import LaneFailed, Scored, ScoreTask
from scorer.engine.tiles import Batch
from scorer.fit.pass_size import PassSize
from scorer.lanes.base import Lane
from scorer.runs.engagement import Engagement
from scorer.stats.noise_floor import PerturbedRepeats
from scorer.stats.positions import Positions

_COLUMNS = (
    ("kl", "<f8"),
    ("nll_ref", "<f8"),
    ("nll_quant", "<f8"),
    ("top_ref_logprob", "<f8"),
    ("top_quant_logprob", "<f8"),
    ("top_ref", "<i4"),
    ("top_quant", "<i4"),
)
_REPEATS = JsonReader(PerturbedRepeats, "repeats")
POSITION_BYTES = sum(np.dtype(kind).itemsize for _, kind in _COLUMNS)
"""Bytes of one position of one setting on the wire."""


def to_message(values: Mapping[str, Any], data: bytes = b"") -> bytes:
    """A message of JSON values and the bytes that follow them."""
    return json.dumps(values).encode() + b"\n" + data


def from_message(message: bytes) -> tuple[dict[str, Any], bytes]:
    """What :func:`to_message` was given."""
    head, _, data = message.partition(b"\n")
    return json.loads(head), data


@dataclass(frozen=True, slots=True)
class Share:
    """What one rank scores in a round.

    Attributes:
        tasks: Chunks and keys of lanes, in the order of the grid.
        size: How much goes through the model at once.
    """

    tasks: tuple[tuple[tuple[int, ...], tuple[str, ...]], ...]
    size: PassSize

    def to_json(self) -> dict[str, Any]:
        """The share as JSON values."""
        size = [self.size.batch, self.size.tile_bytes, self.size.workers]
        return {"tasks": self.tasks, "size": size}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Share:
        """Read what :meth:`to_json` wrote."""
        tasks = tuple((tuple(chunks), tuple(lanes)) for chunks, lanes in values["tasks"])
        return cls(tasks, PassSize(*values["size"]))

    @classmethod
    def of(cls, tasks: Sequence[ScoreTask], size: PassSize) -> Share:
        """The share that some tasks are."""
        each = ((task.batch.chunks, tuple(lane.key for lane in task.lanes)) for task in tasks)
        return cls(tuple(each), size)


def outcomes_message(
    outcomes: Iterable[Scored | LaneFailed],
    tasks: Sequence[ScoreTask],
    *,
    seconds: float,
    error: Mapping[str, Any] | None,
) -> bytes:
    """What came of a share.

    Args:
        outcomes: The outcomes, in order.
        tasks: The share.
        seconds: What the share took.
        error: What ended it early, see :func:`failure_values`; None where nothing did.
    """
    place = {task.batch.chunks: number for number, task in enumerate(tasks)}
    told: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for outcome in outcomes:
        if isinstance(outcome, LaneFailed):
            told.append({"lane": outcome.lane.key} | error_values(outcome.error))
            continue
        chunks, findings = outcome.chunks, outcome.findings
        told.append(
            {
                "task": place.get(tuple(int(chunk.chunk[0]) for chunk in chunks), 0),
                "lane": outcome.lane.key,
                "seconds": outcome.seconds,
                "first": [int(chunk.position[0]) for chunk in chunks],
                "rows": [len(chunk) for chunk in chunks],
                "findings": findings.to_json() if isinstance(findings, Engagement) else None,
                "perturbed": [[c, json_values(made)] for c, made in outcome.perturbed.items()],
            }
        )
        for chunk in chunks:
            parts += [
                getattr(chunk, name).astype(kind, copy=False).tobytes() for name, kind in _COLUMNS
            ]
    values = {"outcomes": told, "seconds": seconds, "error": error}
    return to_message(values, b"".join(parts))


def outcomes_of(
    message: bytes, tasks: Sequence[ScoreTask], lanes: Mapping[str, Lane]
) -> Iterator[Scored | LaneFailed]:
    """The outcomes of a rank's share, in the order in which they came to be.

    That a noise floor cannot be measured is no part of them: rank 0 finds that out itself.

    Args:
        message: Of :func:`outcomes_message`.
        tasks: The share.
        lanes: Lanes of this process by key.
    """
    values, data = from_message(message)
    offset = 0
    for told in values["outcomes"]:
        lane = lanes[told["lane"]]
        if "error" in told:
            yield LaneFailed(lane, error_of(told))
            continue
        chunks = []
        for row, (first, rows) in enumerate(zip(told["first"], told["rows"], strict=True)):
            columns: dict[str, NDArray[Any]] = {}
            for name, kind in _COLUMNS:
                column = np.frombuffer(data, kind, rows, offset)
                columns[name] = column.astype(column.dtype.newbyteorder("="))
                offset += column.nbytes
            chunks.append(_positions(tasks[told["task"]].batch, row, first, rows, columns))
        found = told["findings"]
        findings = None if found is None else Engagement.from_json(found)
        perturbed = {chunk: _REPEATS.read(made) for chunk, made in told["perturbed"]}
        yield Scored(lane, chunks, told["seconds"], findings, perturbed)


def _positions(
    batch: Batch, row: int, first: int, rows: int, columns: Mapping[str, NDArray[Any]]
) -> Positions:
    return Positions(
        chunk=np.full(rows, batch.chunks[row], np.int32),
        position=np.arange(first, first + rows, dtype=np.int32),
        token=batch.ids[row, first + 1 : first + 1 + rows].astype(np.int32),
        **columns,
    )


def failure_values(error: Exception) -> dict[str, Any]:
    """What ended the work of a rank, as JSON values of an error."""
    if isinstance(error, QfidError):
        return error_values(error)
    if is_out_of_memory(error):
        # As MLX says it: rank 0 goes on with less.
        return error_values(WillNotFit(first_line(error, empty="no message"))) | {
            "error": MemoryError.__name__
        }
    known = limit_reached(error)
    if known is None and isinstance(error, ImportError | SyntaxError):
        known = foreign_import(error)
    if known is not None:
        return error_values(known)
    traceback.print_exception(error)
    return error_values(QfidError(f"internal error: {named_line(error)}", "please report it"))
