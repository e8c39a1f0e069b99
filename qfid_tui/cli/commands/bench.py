"""``qfid bench [MODEL | --shape NAME | --runs | --report]``: time scoring, lists, reports."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command's options."""
    from scorer.bench.options import add_options

    parser = subparsers.add_parser(
        "bench",
        description="Time scoring against bare forward passes, alternating in one process: N "
        "settings need at least N + 1 of them. With --weights, sets of weights are scored together "
        "and in turns.",
    )
    add_options(parser).add_argument(
        "--runs",
        action="store_true",
        help="measure `qfid runs` and the app with 5000 saved runs, in a temporary folder, instead",
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print in a child process.

    Returns:
        Its exit code.

    Raises:
        QfidError: It cannot be started.
    """
    import subprocess

    from qfid_tui.process.scorer_process import not_started
    from scorer.common.python_command import python_command

    if args.runs:
        command = python_command("qfid_tui.bench", "--only=runs", f"--format={args.format}")
    else:
        command = python_command("scorer.bench", *_arguments(args))
    try:
        code = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
    except OSError as error:
        raise not_started("the benchmark", error) from error
    return code if code >= 0 else 1


def _arguments(args: argparse.Namespace) -> list[str]:
    """Return the options as arguments; the model is after ``--``, as it may start with a dash."""
    names = (
        "shape",
        "report",
        "kv_bits",
        "weights",
        "path",
        "max_chunks",
        "repeats",
        "chunk_length",
        "batch",
        "ranks",
        "format",
    )
    given = {name: getattr(args, name) for name in names}
    words = [
        f"--{name.replace('_', '-')}={value}" for name, value in given.items() if value is not None
    ]
    if args.start:
        words.append("--start")
    return words if args.model is None else [*words, "--", args.model]
