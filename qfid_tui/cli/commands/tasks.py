"""``qfid tasks MODEL``: accuracy and flips of answers on downstream tasks."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qfid_tui.cli.job_options import (
    DEFAULT_BITS,
    add_computation_options,
    add_model_options,
    settings_of,
)

if TYPE_CHECKING:
    from qfid_tui.cli.tasks_display import TasksDisplay
    from qfid_tui.process.scorer_process import ScorerProcess
    from scorer.spec.tasks_job import TasksJob
    from scorer.tasks.report import TasksReport

_DESCRIPTION = """\
Ask MODEL the items of downstream tasks, at full precision and under every
setting: accuracy, and answers that change, pair by pair. Tasks are those of
lm-evaluation-harness, of likelihoods alone, with their items on this machine.
The same command goes on where it was stopped.
"""
_EPILOG = """\
a task is a YAML file beside its items in JSON lines:
  task: colours
  dataset_path: json
  dataset_kwargs: {data_files: {test: colours.jsonl}}
  output_type: multiple_choice
  test_split: test
  doc_to_text: "Question: {{question}}\\nAnswer:"
  doc_to_choice: "{{choices}}"
  doc_to_target: answer
  metric_list: [{metric: acc}]

exit codes: 0 report, 1 internal error or a setting failed, 2 wrong input,
3 not enough memory, 130 interrupted
"""
_FORMATS = ("md", "html", "json", "csv", "items")
_ENDINGS = {".json": "json", ".csv": "csv", ".html": "html", ".htm": "html"}
INTERRUPTED = 130
AGAIN = "the same command goes on"


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command's options."""
    parser = subparsers.add_parser(
        "tasks",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help="repo id in the local cache, a folder (./kv), or demo",
    )
    add_model_options(parser)
    group = parser.add_argument_group("tasks")
    group.add_argument(
        "--tasks",
        metavar="LIST",
        help="folders with tasks, YAML files or names, comma-separated (default: the tasks that "
        "come with qfid, continuations and everyday; for demo continuations)",
    )
    group.add_argument(
        "--limit", type=int, metavar="N", help="the first N items of each task (default: all)"
    )
    group = parser.add_argument_group("settings")
    which = group.add_mutually_exclusive_group()
    which.add_argument(
        "--kv-bits",
        metavar="BITS",
        help=f"widths of the KV cache, comma-separated: 2, 3, 4, 5, 6, 8 (default: {DEFAULT_BITS})",
    )
    which.add_argument(
        "--settings",
        metavar="LIST",
        help="settings in full: 8,k8v4,4@512,w4,w4+8 (`qfid notation` lists what can be written)",
    )
    add_computation_options(group)
    group.add_argument(
        "--batch-size",
        "--batch",
        type=int,
        dest="batch",
        metavar="N",
        help="requests per forward pass (default: as memory allows)",
    )
    group.add_argument("--force", action="store_true", help="score even if memory seems too small")
    group = parser.add_argument_group("report")
    group.add_argument(
        "--format",
        choices=_FORMATS,
        metavar="FORMAT",
        help="md (default), html: a page, json, csv: a line per task, metric and setting, items: a "
        "line per answer",
    )
    group.add_argument(
        "--output",
        metavar="FILE",
        help="write the report to FILE (-: print it); without --format its ending chooses: .md, "
        ".html, .json or .csv",
    )
    group.add_argument(
        "--schema", action="store_true", help="print the JSON Schema of --format json, and end"
    )


def run(args: argparse.Namespace) -> int:
    """Score, print, and return the exit code.

    Raises:
        QfidError: The tasks cannot be asked, or the report cannot be delivered.
    """
    from qfid_tui.cli.cached_model import absolute_model, ensure_models
    from qfid_tui.cli.output import ReportFile, print_text
    from qfid_tui.cli.tasks_display import TasksDisplay
    from qfid_tui.process.scorer_process import ScorerProcess, scorer_command
    from scorer.common.errors import InputError
    from scorer.tasks.task_files import check_installed, find_tasks

    if args.schema:
        from scorer.common.json_schema import schema_text
        from scorer.tasks.report import tasks_schema

        print_text([schema_text(tasks_schema())], "schema")
        return 0
    if args.model is None:
        raise InputError("MODEL is missing", "`qfid tasks demo` asks the built-in model")
    job = _job(args)
    is_file = args.output not in (None, "-")
    name = args.format or (_ENDINGS.get(Path(args.output).suffix, "md") if is_file else "md")
    file = ReportFile(args.output) if is_file else None
    # What is wrong with the tasks is said before anything is started.
    find_tasks(job.tasks)
    check_installed()
    info = ensure_models(
        job.scoring_job(0), allow_custom_code=args.allow_custom_code, pull=args.pull
    )
    job = dataclasses.replace(job, model=absolute_model(job.model, info.path))
    request = job.to_json() | {"allow_custom_code": args.allow_custom_code}
    display = TasksDisplay()
    with ScorerProcess(request, command=(*scorer_command(), "--tasks")) as process:
        code, report = _scored(process, display)
    if report is None:
        return code
    parts = _formatted(report, name)
    if file is not None:
        file.write(parts)
    else:
        print_text(parts, "report", f"it is saved; {AGAIN}")
    return 1 if report.failed else 0


def _job(args: argparse.Namespace) -> TasksJob:
    from qfid_tui.state.paths import absolute
    from scorer.spec.tasks_job import TasksJob
    from scorer.tasks.task_files import default_tasks

    named = [part.strip() for part in (args.tasks or "").split(",") if part.strip()]
    places = [absolute(name) if Path(name).expanduser().exists() else name for name in named]
    return TasksJob(
        model=args.model,
        settings=settings_of(args),
        tasks=tuple(places) or default_tasks(args.model),
        limit=args.limit,
        revision=args.revision,
        kernel=args.kernel,
        batch=args.batch,
        force=args.force,
    )


def _scored(process: ScorerProcess, display: TasksDisplay) -> tuple[int, TasksReport | None]:
    """Show the events; the exit code, and the report if there is one."""
    from qfid_tui.cli import diagnostics
    from qfid_tui.cli.scoring import forwarded_signals
    from scorer.common.child_end import died
    from scorer.spec.events import Event, Failed, Finished
    from scorer.tasks.report import TasksReport

    last: Event | None = None
    with forwarded_signals(process, display, "stopping; Ctrl-C again stops at once"):
        for event in process.events():
            display.add(event)
            last = event
        display.clear()
    code = process.close()
    if isinstance(last, Finished):
        return 0, TasksReport.from_json(last.report)
    if isinstance(last, Failed):
        kind = "error" if last.exit_code != INTERRUPTED else "interrupted"
        diagnostics.say_with_hint(kind, last.message, last.hint)
        return last.exit_code, None
    if process.killed or code == INTERRUPTED:
        diagnostics.say(f"stopped at once; {AGAIN}")
        return INTERRUPTED, None
    error = died(code, process.log, f"what was scored is saved: {AGAIN}")
    diagnostics.say_with_hint("error", error.message, error.hint)
    return error.exit_code, None


def _formatted(report: TasksReport, name: str) -> list[str]:
    from scorer.tasks import formats

    if name == "items":
        from scorer.tasks.results import read_items

        return [read_items(report.results)]
    if name == "html":
        from scorer.tasks.page import to_html

        return [to_html(report)]
    make = {"md": formats.to_markdown, "json": formats.to_json, "csv": formats.to_csv}[name]
    return [make(report)]
