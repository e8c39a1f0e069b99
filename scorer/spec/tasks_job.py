"""Which downstream tasks are asked of a model, under which settings: a TasksJob.

Pure standard library.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from scorer.common.errors import InputError
from scorer.common.json_reader import JsonReader
from scorer.common.json_values import converted, json_values
from scorer.spec.amounts import whole_number
from scorer.spec.job import CorpusSpec, Job, Kernel
from scorer.spec.settings.base import Setting
from scorer.spec.settings.registry import parse_setting

_LEAST_LENGTH = 8


def _read_settings(data: Any) -> tuple[Setting, ...]:
    if not isinstance(data, list) or not all(isinstance(item, str) for item in data):
        raise InputError("`settings` must be a list of settings in notation")
    return tuple(map(parse_setting, data))


def _notations(settings: tuple[Setting, ...]) -> list[str]:
    return [setting.written for setting in settings]


@dataclass(frozen=True, slots=True)
class TasksJob:
    """What is asked of a model, and how it is computed.

    Attributes:
        model: Repo id in the local Hugging Face cache, path of a folder, or ``demo``.
        settings: The settings, in the order of the report's rows.
        tasks: Folders of tasks, YAML files, or names of tasks; empty for those that come with
            this package.
        limit: Items of each task, the first ones; None for all.
        revision: Commit, branch or tag of the repo; None for the cached default.
        kernel: ``auto`` or ``mlx-lm``, as of :class:`~scorer.spec.job.Job`.
        batch: Requests per forward pass; None lets the scorer choose.
        force: Score also where memory looks too small.
    """

    model: str
    settings: tuple[Setting, ...] = field(
        metadata=converted(_read_settings, _notations, tuple[str, ...])
    )
    tasks: tuple[str, ...] = ()
    limit: int | None = None
    revision: str | None = None
    kernel: Kernel = "auto"
    batch: int | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if self.limit is not None and whole_number(self.limit, "limit") < 1:
            raise InputError(f"a limit of `{self.limit}` leaves no item", "give at least 1")
        self.scoring_job(0)

    def scoring_job(self, longest: int) -> Job:
        """The job that the engine prepares: the model, and sequences of a length.

        Args:
            longest: Tokens of the longest request; that many go through the model at once.

        Raises:
            InputError: A setting or an option is not valid.
        """
        # A setting whose prefix is longer than any request quantizes nothing, and is no error.
        longest = max(longest, _LEAST_LENGTH, *(each.start + 2 for each in self.settings), 0)
        return Job(
            model=self.model,
            settings=self.settings,
            corpus=CorpusSpec("builtin"),
            revision=self.revision,
            chunk_length=longest,
            kernel=self.kernel,
            batch=self.batch,
            force=self.force,
        )

    def to_json(self) -> dict[str, Any]:
        """The job as JSON values; settings in their notation."""
        values: dict[str, Any] = json_values(self)
        return values

    @classmethod
    def from_json(cls, data: Any) -> TasksJob:
        """Read what :meth:`to_json` wrote.

        Raises:
            InputError: A key is missing, unknown or of the wrong type.
        """
        return _READER.read(data)


_READER = JsonReader(TasksJob, "a job of tasks")
