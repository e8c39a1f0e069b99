"""The events that a scorer emits: one JSON object a line, in one order.

Pure standard library. A reader skips a line whose ``event`` it does not know and drops fields it
does not know, so that an older app can read a newer scorer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, ClassVar

from scorer.common.errors import InputError
from scorer.common.json_reader import JsonReader
from scorer.common.json_values import json_values
from scorer.spec.thresholds import Metric

PROTOCOL_VERSION = 1


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events; ``kind`` is the value of the ``event`` key on the wire."""

    kind: ClassVar[str] = ""

    def to_json(self) -> dict[str, Any]:
        """The event as JSON values, its kind first."""
        return {"event": self.kind, **json_values(self)}

    def to_line(self) -> str:
        """The event as one line of ASCII JSON, newline included."""
        return json.dumps(self.to_json(), separators=(",", ":")) + "\n"


@dataclass(frozen=True, slots=True)
class Hello(Event):
    """First event: who is scoring, on what.

    Attributes:
        device: ``metal``, ``cuda`` or ``cpu``.
        device_name: The device's own name.
        memory_total: Bytes of memory the device may use.
        memory_free: Bytes free now.
        blas: Name of the BLAS behind MLX's CPU backend, ``none found`` or ``n/a`` off the CPU.
        versions: Package name to version: qfid, mlx, mlx-lm, numpy, python.
        protocol: Version of this event stream.
    """

    kind: ClassVar[str] = "hello"
    device: str
    device_name: str
    memory_total: int
    memory_free: int
    blas: str
    versions: dict[str, str]
    protocol: int = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class Loading(Event):
    """A step before scoring starts.

    Attributes:
        step: ``ranks``, ``corpus``, ``tokenizing``, ``model``, ``kernels``, ``checking`` or
            ``tasks``; ``kernels`` comes again with another detail while kernels for a GPU are
            waited for.
        detail: What of it, one line.
    """

    kind: ClassVar[str] = "loading"
    step: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Planned(Event):
    """What the run will do, once model and corpus are known.

    Attributes:
        run: Id of the saved run.
        run_path: Its folder.
        model: Name shown for the model.
        settings: The settings in notation, in the order of the report.
        chunks: Indices of the chunks, in scoring order.
        done: Per setting, how many chunks an earlier process has scored already.
        positions_per_chunk: Per setting, scored positions of one chunk.
        kv_bytes_per_token: Per setting, stored bytes per token at 16-bit deployment dtype.
        kv_bytes_per_token_16bit: The same without quantization.
        batch: Chunks per forward pass.
        arithmetic: What computes: compute dtype, BLAS, path actually run.
        text_chunks: Full chunks of the whole text; 0 where that is not said.
        equal_chunks: Chunk to an earlier one, in scoring order, of the same tokens; such a chunk
            counts in no statistic.
        conditions: What the figures of all settings depend on, see
            :func:`scorer.runs.comparability.run_conditions`; empty where the scorer does not send
            it.
        resolved: Each setting asked for, as it was written, to the one of ``settings`` that it
            comes to with this model; empty where the scorer does not send it.
        looks: After how many chunks a run that stops once it is settled looks; empty for any other.
    """

    kind: ClassVar[str] = "planned"
    run: str
    run_path: str
    model: str
    settings: list[str]
    chunks: list[int]
    done: dict[str, int]
    positions_per_chunk: dict[str, int]
    kv_bytes_per_token: dict[str, float]
    kv_bytes_per_token_16bit: float
    batch: int
    arithmetic: str
    text_chunks: int = 0
    equal_chunks: dict[int, int] = field(default_factory=dict)
    conditions: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    resolved: dict[str, str] = field(default_factory=dict)
    looks: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """Work inside a batch of chunks: ``done`` of ``total`` forward passes of this batch."""

    kind: ClassVar[str] = "progress"
    chunk: int
    setting: str
    done: int
    total: int
    memory: int = 0


@dataclass(frozen=True, slots=True)
class ChunkScored(Event):
    """One setting scored on one chunk; already saved when this is sent.

    Attributes:
        setting: The setting in notation.
        chunk: Index of the chunk in the corpus.
        positions: Scored positions.
        kl_mean: Mean KL(reference ‖ quantized) in nats.
        kl_max: Largest KL of a position, nats.
        kl_p99: 99th percentile of the chunk's KL, nats.
        flips: Positions whose top token changed.
        nll_ref: Sum of the reference's negative log-likelihoods, nats.
        nll_quant: Sum of the quantized model's, nats.
        seconds: Wall time of this setting's forward pass and metrics on this chunk.
        kl_by_depth: Sums of KL over the spans of :func:`scorer.stats.depth.depth_edges`, nats;
            empty where the scorer does not send them.
        kl_squares: Sum of the squares of KL, nats²; None where the scorer does not send it.
        kl_p99_so_far: 99th percentile of KL, nats, over all positions of the setting so far, those
            of earlier parts of the run included; None where the scorer does not send it.
        positions_so_far: Number of those positions.
    """

    kind: ClassVar[str] = "chunk"
    setting: str
    chunk: int
    positions: int
    kl_mean: float
    kl_max: float
    kl_p99: float
    flips: int
    nll_ref: float
    nll_quant: float
    seconds: float
    kl_by_depth: list[float] = field(default_factory=list)
    kl_squares: float | None = None
    kl_p99_so_far: float | None = None
    positions_so_far: int = 0


@dataclass(frozen=True, slots=True)
class RanksScored(Event):
    """A round is over, in which several ranks shared the work; all of it is saved or about to be.

    Attributes:
        names: Each rank and its machine, rank 0 first.
        cells: Chunks under settings that each has scored so far.
        seconds: What the shares of the last two rounds took each, seconds.
        round_cells: Chunks under settings that each scored in these.
        round_seconds: Since the round before was over, waiting for each other included.
        gathered: Bytes of all messages of the ranks since the first round began.
    """

    kind: ClassVar[str] = "ranks"
    names: list[str]
    cells: list[int]
    seconds: list[float]
    round_cells: list[int]
    round_seconds: float
    gathered: int = 0

    def __post_init__(self) -> None:
        if {len(self.cells), len(self.seconds), len(self.round_cells)} != {len(self.names)}:
            raise InputError("every rank has a name, cells and seconds")


@dataclass(frozen=True, slots=True)
class TasksPlanned(Event):
    """What is to be scored of downstream tasks, once tasks and model are known.

    Attributes:
        results: Id of the saved results.
        path: Their folder.
        model: Name shown for the model.
        tasks: Names of the tasks.
        settings: The settings in notation.
        items: Items of all tasks.
        requests: Different sequences of tokens whose likelihood is asked for.
        done: Requests times settings that an earlier process has scored.
        total: Requests times settings.
        arithmetic: What computes: compute dtype, BLAS.
    """

    kind: ClassVar[str] = "tasks_planned"
    results: str
    path: str
    model: str
    tasks: list[str]
    settings: list[str]
    items: int
    requests: int
    done: int
    total: int
    arithmetic: str = ""


@dataclass(frozen=True, slots=True)
class RequestsScored(Event):
    """Requests of downstream tasks are scored under one more setting, and saved.

    Attributes:
        done: Requests times settings so far, those of earlier processes included.
        total: Of how many.
    """

    kind: ClassVar[str] = "requests"
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """Something the user should know; the run goes on."""

    kind: ClassVar[str] = "warning"
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class SettingFailedEvent(Event):
    """One setting is given up; the others go on."""

    kind: ClassVar[str] = "setting_failed"
    setting: str
    error: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class SettingDropped(Event):
    """One setting is scored no further, because it cannot be the answer; the others go on.

    Attributes:
        setting: The setting in notation.
        reason: Why, in words.
    """

    kind: ClassVar[str] = "setting_dropped"
    setting: str
    reason: str


@dataclass(frozen=True, slots=True)
class Looked(Event):
    """A run that stops once it is settled has looked whether it is.

    Attributes:
        look: Which look, from 1.
        looks: After how many chunks the run looks.
        standings: Setting in notation to ``settled good``, ``settled worse`` or ``not settled``;
            settings that failed are left out.
        open: Setting that is not settled to the metrics that keep it from that: ``kl_mean``,
            ``kl_p99``, ``flip_rate``.
        intervals: Setting to metric to the ends of its simultaneous interval, nats or 0 to 1;
            metrics without one are left out.
        stops: Every setting is settled, so that the run ends here.
    """

    kind: ClassVar[str] = "look"
    look: int
    looks: list[int]
    standings: dict[str, str]
    open: dict[str, list[Metric]]
    intervals: dict[str, dict[str, list[float]]]
    stops: bool

    def __post_init__(self) -> None:
        if any(len(ends) != 2 for found in self.intervals.values() for ends in found.values()):
            raise InputError("an interval has two ends")
        if not 1 <= self.look <= len(self.looks):
            raise InputError("a look is one of those that were planned")

    @property
    def chunks(self) -> int:
        """Chunks of this look."""
        return self.looks[self.look - 1]


@dataclass(frozen=True, slots=True)
class Finished(Event):
    """The run is over: its report as JSON values, and whether every chunk was scored."""

    kind: ClassVar[str] = "finished"
    report: dict[str, Any]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """The run is over without a report of its own; ``saved`` chunks can be resumed."""

    kind: ClassVar[str] = "failed"
    error: str
    message: str
    hint: str = ""
    exit_code: int = 1
    run: str | None = None
    saved: int = 0
    details: dict[str, Any] = field(default_factory=dict)


_KINDS: tuple[type[Event], ...] = (
    Hello,
    Loading,
    Planned,
    Progress,
    ChunkScored,
    RanksScored,
    TasksPlanned,
    RequestsScored,
    Warned,
    SettingFailedEvent,
    SettingDropped,
    Looked,
    Finished,
    Failed,
)
_INTEGERS = 2**63
"""Whole numbers of an event fit 64 bits."""

# One reader a kind: a stream has thousands of events, and is read while keys wait.
_READERS: dict[str, JsonReader[Any]] = {
    cls.kind: JsonReader(cls, "an event", unknown="drop", largest=_INTEGERS) for cls in _KINDS
}


def parse_line(line: str | bytes) -> Event | None:
    """Read one line of the stream.

    Returns:
        The event, or None where the line is no event this version knows: not JSON, no object,
        an unknown kind, a field that is missing or of the wrong type. Unknown fields are dropped.
    """
    data = _object_of(line)
    reader = _READERS.get(str(data.get("event")))
    try:
        return None if reader is None else reader.read(data)
    except InputError:
        return None


def kind_of(line: str | bytes) -> str:
    """The kind that a line claims to be of, whether or not the rest can be read; "" for none."""
    kind = _object_of(line).get("event")
    return kind if isinstance(kind, str) else ""


def _object_of(line: str | bytes) -> dict[str, Any]:
    """The JSON object on a line; empty where there is none."""
    try:
        # The decoder would look for UTF-16 and UTF-32 in bytes.
        data = json.loads(line if isinstance(line, str) else line.decode())
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
