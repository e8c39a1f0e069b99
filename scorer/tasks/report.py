"""The report of tasks as values: accuracy and flips of answers, reference and every setting.

``TasksReport.to_json`` and ``from_json`` are the one way to JSON and back. Pure standard library.

Source of the flips: Dutta et al., "Accuracy Is Not All You Need", 2024, arXiv 2407.09141.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from scorer.common.errors import InputError
from scorer.common.json_reader import JsonReader
from scorer.common.json_schema import schema_of
from scorer.common.json_values import json_values
from scorer.stats.intervals import Interval

TASKS_SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of the items.

    Attributes:
        count: Items of which it holds.
        share: That number divided by all items.
        interval: Wilson's 95 % interval; items are taken as independent.
    """

    count: int
    share: float
    interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersPart:
    """What a setting does to the answers, item by item against the reference.

    Attributes:
        setting: The setting in notation.
        accuracy: Items that it has right.
        difference: Its accuracy less the reference's.
        difference_interval: Newcombe's 95 % score interval for paired shares, of this comparison
            alone.
        simultaneous_interval: The same, so that those of all settings of the table hold at once
            with 95 % (Bonferroni).
        told_apart: Whether the simultaneous interval leaves out 0.
        p_value: Of McNemar's exact test, two-sided, of this comparison alone.
        flips: Items whose answer changed, whatever was right.
        to_wrong: Items that the reference has right and the setting wrong.
        to_right: Items that the reference has wrong and the setting right.
        wrong_to_wrong: Items that both have wrong, with different answers.
    """

    setting: str
    accuracy: Share
    difference: float
    difference_interval: Interval
    simultaneous_interval: Interval
    told_apart: bool
    p_value: float
    flips: Share
    to_wrong: Share
    to_right: Share
    wrong_to_wrong: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoicePart:
    """The answers by one way to choose them.

    Attributes:
        metric: ``acc``: the likeliest answer; ``acc_norm``: the likeliest per character;
            ``acc_bytes``: per byte.
        reference: Items that the full-precision model has right.
        settings: The settings in the order of the job; those that failed are left out.
    """

    metric: str
    reference: Share
    settings: tuple[AnswersPart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPart:
    """One task.

    Attributes:
        task: Its name.
        items: Its items.
        chance: Accuracy of guessing; None for a task without choices.
        choices: The answers, by each way to choose that the task names; empty for a task that only
            measures a perplexity.
        metrics: Every metric of the harness, by setting, ``reference`` first.
    """

    task: str
    items: int
    chance: float | None
    choices: tuple[ChoicePart, ...]
    metrics: dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingPart:
    """One setting over all tasks.

    Attributes:
        setting: In notation.
        quantized_requests: Requests in which it quantizes anything: longer than its full-precision
            prefix.
        same_as: The setting that comes to the same computation, whose scores these are; None for
            its own.
        error: Why it gave no usable number; None where it did.
        hint: What to do about that.
    """

    setting: str
    quantized_requests: int
    same_as: str | None = None
    error: str | None = None
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksReport:
    """Downstream tasks on one model: the reference and every setting.

    Attributes:
        schema: Number of this form.
        kind: ``tasks``.
        results: Id of the saved results.
        model_id: Repo id, name of the folder, or ``demo``.
        model_revision: Commit of the repo; None for a folder.
        settings: The settings in the order of the job.
        tasks: The tasks.
        requests: Different sequences of tokens that were scored.
        cut_requests: Requests whose beginning was left out, because the model takes no more.
        limit: Items of each task that were asked for; None for all.
        harness_version: Version of lm-evaluation-harness.
        versions: Package to version.
        device: ``metal``, ``cuda`` or ``cpu``, and its name.
        arithmetic: What computed, in one line.
        conditions: What every score depends on beside its setting.
        warnings: What a reader must know.
    """

    schema: int = TASKS_SCHEMA
    kind: Literal["tasks"] = "tasks"
    results: str
    model_id: str
    model_revision: str | None
    settings: tuple[SettingPart, ...]
    tasks: tuple[TaskPart, ...]
    requests: int
    cut_requests: int
    limit: int | None
    harness_version: str
    versions: dict[str, str]
    device: str
    arithmetic: str
    conditions: dict[str, str | int | float | None]
    warnings: tuple[str, ...] = field(default=())

    @property
    def failed(self) -> tuple[SettingPart, ...]:
        """The settings that gave no usable number."""
        return tuple(each for each in self.settings if each.error is not None)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        values: dict[str, Any] = json_values(self, words=True)
        return values

    @classmethod
    def from_json(cls, data: Any) -> TasksReport:
        """Read what :meth:`to_json` wrote, in this version or a later one of the same schema.

        Raises:
            InputError: It is no report of tasks, or of a schema that this version does not know.
        """
        if not isinstance(data, dict) or data.get("kind") != "tasks":
            raise InputError("this is no report of tasks")
        if data.get("schema") != TASKS_SCHEMA:
            raise InputError(
                f"a report of tasks of schema `{data.get('schema')}`; this version reads "
                f"`{TASKS_SCHEMA}`"
            )
        return _READER.read(data)


_READER = JsonReader(TasksReport, "a report of tasks", unknown="drop", words=True)


def tasks_schema() -> dict[str, Any]:
    """The JSON Schema of a report of tasks, draft 2020-12."""
    return schema_of(TasksReport, "tasks", TASKS_SCHEMA, "A report of tasks of qfid")
