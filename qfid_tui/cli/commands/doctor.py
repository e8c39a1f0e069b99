"""``qfid doctor``: examine this machine; report what is slow and how to fix it."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command's options."""
    parser = subparsers.add_parser(
        "doctor",
        description="Examine device, MLX backend, BLAS (one timed matmul), memory, versions and "
        "folders; say what is slow here and how to fix it.",
    )
    parser.add_argument("--format", choices=("md", "json"), default="md", help="md (default), json")


def run(args: argparse.Namespace) -> int:
    """Print the report.

    Returns:
        0, or 2 if MLX has no backend here.

    Raises:
        QfidError: The child process cannot be started, or ends without an answer.
    """
    import json

    from qfid_tui.cli.diagnostics import say_with_hint
    from qfid_tui.cli.doctor_report import examine_in_child, to_markdown
    from qfid_tui.cli.output import print_text

    found = examine_in_child()
    if args.format == "json":
        print_text([json.dumps(found, indent=2) + "\n"])
    else:
        print_text(f"{line}\n" for line in to_markdown(found))
    if found["error"] is None:
        return 0
    say_with_hint("error", found["error"]["message"], found["error"]["hint"])
    return 2
