"""The Python interface to downstream tasks."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING

from scorer.api_runs import located
from scorer.common.error_values import error_of
from scorer.common.errors import QfidError
from scorer.common.python_hints import in_python
from scorer.common.warning_categories import RunWarning
from scorer.spec.events import Event, Failed, Finished, Warned
from scorer.spec.job import Kernel
from scorer.spec.settings.base import ComputePath
from scorer.spec.settings.registry import SettingsAsked, settings_asked

if TYPE_CHECKING:
    from scorer.tasks.report import TasksReport


def measure_tasks(
    model: str | PathLike[str],
    *,
    settings: SettingsAsked = "8,4",
    tasks: Sequence[str | PathLike[str]] | str | PathLike[str] = (),
    limit: int | None = None,
    kv_group_size: int | None = None,
    quantize_start: int = 0,
    path: ComputePath = "deployed",
    kernel: Kernel = "auto",
    batch: int | None = None,
    revision: str | None = None,
    allow_custom_code: bool = False,
    force: bool = False,
    on_event: Callable[[Event], object] | None = None,
) -> TasksReport:
    """Measure accuracy and flips of answers on downstream tasks, as ``qfid tasks`` does.

    The harness and the model run in a child process. What is scored is saved: the same call goes on
    where an earlier one was stopped.

    Args:
        model: Repo id in the local Hugging Face cache, path of a folder, or ``demo``.
        settings: Settings or their notation, ``["8", "k8v4", "w4+8"]``; or a string that lists
            them, ``"8,4"``.
        tasks: A folder with tasks in YAML, a YAML file, the name of a task that comes with the
            package, or several of them; nothing for the tasks that come with the package.
        limit: Items of each task, the first ones; None for all.
        kv_group_size: As in :func:`~scorer.api.measure_kv_fidelity`, as are ``quantize_start``,
            ``path``, ``kernel``, ``revision`` and ``force``.
        quantize_start: See there.
        path: See there.
        kernel: See there.
        batch: Requests per forward pass; None for as many as memory allows.
        revision: See there.
        allow_custom_code: Allow Python files of the model and of the tasks to run.
        force: See there.
        on_event: Called with every event, in order, in the calling thread. An exception that it
            raises ends the child process and is raised from here.

    Returns:
        The report: ``.tasks[0].choices[0].settings[0].flips.share`` and others; ``.to_json()``
        returns every number. A setting that failed is in ``.failed``, and in no task.

    Raises:
        InputError: The tasks cannot be asked: lm-evaluation-harness is not installed, there is no
            such task, or it generates text, runs Python of its own, or reads a data set of the Hub.
        QfidError: Any other error that ends it.

    Warns:
        RunWarning: Each warning that the command line would print.
    """
    from scorer.child.apart import in_child
    from scorer.spec.tasks_job import TasksJob
    from scorer.tasks.process import TASKS
    from scorer.tasks.report import TasksReport
    from scorer.tasks.task_files import default_tasks

    name = located(model)
    places = [tasks] if isinstance(tasks, str | PathLike) else tasks
    job = TasksJob(
        model=name,
        settings=settings_asked(
            settings, group_size=kv_group_size, start=quantize_start, path=path
        ),
        tasks=tuple(map(located, places)) or default_tasks(name),
        limit=limit,
        revision=revision,
        kernel=kernel,
        batch=batch,
        force=force,
    )
    request = job.to_json() | {"allow_custom_code": allow_custom_code}
    with contextlib.closing(in_child(request, TASKS)) as events:
        for event in events:
            if on_event is not None:
                on_event(event)
            if isinstance(event, Warned):
                hint = f"\n{in_python(event.hint)}" if event.hint else ""
                warnings.warn(f"{event.message}{hint}", RunWarning, stacklevel=2)
            elif isinstance(event, Failed):
                hint = in_python(event.hint).replace("the same command", "the same call")
                raise error_of(dataclasses.asdict(event) | {"hint": hint})
            elif isinstance(event, Finished):
                return TasksReport.from_json(event.report)
    raise QfidError("the tasks ended without a report")
