"""``qfid runs``: list the saved runs, newest first."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qfid_tui.words.run_rows import read_only_note

if TYPE_CHECKING:
    from scorer.runs.run import RunInfo

_HEAD = ("run", "state", "scored", "model", "settings", "text", "failed")


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command's options."""
    parser = subparsers.add_parser(
        "runs",
        description="List the saved runs, newest first. `scored` counts every chunk once for each "
        "setting.",
    )
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="text (default) or json"
    )


def run(args: argparse.Namespace) -> int:
    """Print the list and return 0.

    Raises:
        QfidError: The folder of runs cannot be read.
    """
    from qfid_tui.cli.diagnostics import say
    from qfid_tui.cli.output import print_report
    from scorer.common.folders import runs_folder
    from scorer.runs.listing import list_runs

    found = list_runs()
    if args.format == "json":
        print_report([_json(found)])
    elif found:
        print_report(f"{line}\n" for line in table([_HEAD, *map(_row, found)]))
    if not found:
        say(f"no run is saved in `{runs_folder()}` yet; `qfid kv demo` makes one")
    return 0


def _row(info: RunInfo) -> tuple[str, ...]:
    if info.state == "broken":
        return info.id, info.state, "", info.reason
    planned = "?" if info.chunks_planned is None else str(info.chunks_planned)
    return (
        info.id,
        info.state,
        f"{info.chunks_done}/{planned}",
        info.model,
        ",".join(info.settings),
        info.corpus,
        "; ".join(filter(None, (",".join(info.failed), read_only_note(info)))),
    )


def _json(found: list[RunInfo]) -> str:
    import dataclasses
    import json

    rows = [{**dataclasses.asdict(info), "path": str(info.path)} for info in found]
    return json.dumps(rows, indent=2) + "\n"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Format rows as lines with aligned columns; control characters are escaped."""
    from scorer.common.inert_text import inert

    cells = [[inert(cell) for cell in row] for row in rows]
    # The last cell of a short row is a sentence; it does not widen its column.
    full = max(map(len, cells))
    widths = [max(len(row[i]) for row in cells if len(row) == full) for i in range(full)]
    lines = []
    for row in cells:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join(padded).rstrip())
    return lines
