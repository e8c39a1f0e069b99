"""``qfid runs``: list the saved runs, newest first, delete some, or export all figures."""

from __future__ import annotations

import argparse
import contextlib
import gc
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from qfid_tui.state.run_results import RunOutcome, RunResult, read_outcomes, read_texts
from qfid_tui.words.run_rows import read_only_note

if TYPE_CHECKING:
    from scorer.runs.run_info import RunInfo

_HEAD = ("run", "state", "scored", "model", "text", "length", "setting: KL mean (nats), verdict")
# What JSON says of a run, beside its results.
_VALUES = (
    *("id", "path", "state", "reason", "model", "settings", "corpus", "chunk_length", "created"),
    *("chunks_done", "chunks_planned", "failed", "read_only"),
)


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command's options."""
    parser = subparsers.add_parser(
        "runs",
        description="List the saved runs, newest first. `scored` counts every chunk once for each "
        "setting; `length` is the tokens of a chunk.",
    )
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="text (default) or json"
    )
    parser.add_argument(
        "--delete",
        metavar="RUN",
        nargs="+",
        help="delete these runs, given by id or its beginning, instead of listing any",
    )
    parser.add_argument(
        "--export",
        metavar="FILE",
        help="write all figures of all runs to FILE, which ends in .parquet, instead of listing "
        "them: a row for each run and setting; runs without a report are named",
    )
    parser.add_argument("--yes", action="store_true", help="delete without asking")


def run(args: argparse.Namespace) -> int:
    """Print the list, delete runs or export them, and return 0.

    Raises:
        InputError: There is nothing to export, or the file has another ending.
        QfidError: The folder of runs cannot be read, or a run cannot be deleted.
    """
    from qfid_tui.cli.diagnostics import say
    from scorer.common.folders import runs_folder

    if args.export is not None:
        return _export(args.export, alone=not args.delete and args.format == "text")
    if args.delete:
        return _delete(args.delete, asked=args.yes)
    with _no_collections():
        count = _print_list(as_json=args.format == "json")
    if not count:
        say(f"no run is saved in `{runs_folder()}` yet; `qfid kv demo` makes one")
    return 0


def _print_list(*, as_json: bool) -> int:
    """Print the list; return how many runs there are.

    All that was read is gone when this returns, so that no collection looks through it.
    """
    from qfid_tui.cli.output import print_text
    from scorer.runs.listing import newest_first, run_index

    index = run_index()
    listed = [*newest_first(index)]
    infos = [run.info for run in listed]
    if as_json:
        print_text([_json(infos, read_outcomes(index, listed))])
    elif listed:
        rows = [_HEAD, *map(_row, infos, read_texts(index, listed))]
        print_text(["\n".join(table(rows)), "\n"])
    index.save()
    return len(listed)


@contextlib.contextmanager
def _no_collections() -> Iterator[None]:
    """Collect no garbage: that would look at thousands of values again and again, and find none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _export(name: str, *, alone: bool) -> int:
    """Write the figures of all runs to a file; name those that have none."""
    from qfid_tui.cli.diagnostics import say
    from qfid_tui.cli.output import ReportFile
    from scorer.common.errors import InputError
    from scorer.report.all_runs import reported_runs
    from scorer.report.formats.runs_parquet import runs_parquet
    from scorer.report.runs_table import runs_table
    from scorer.runs.listing import list_runs

    if not alone:
        raise InputError("--export stands alone", "list or delete runs with a command of its own")
    if not name.lower().endswith(".parquet"):
        raise InputError(
            f"the figures of all runs are written as Parquet, not to `{name}`",
            "name a file that ends in .parquet: --export results.parquet",
        )
    file = ReportFile(name)
    table = runs_table(reported_runs(list_runs()))
    for run, reason in table.left_out:
        say(f"left out: run `{run}`: {reason}")
    if not table.rows:
        raise InputError("no run has figures to export", "`qfid kv demo` makes one")
    file.write(runs_parquet(table))
    settings = "1 row" if len(table.rows) == 1 else f"{len(table.rows)} rows"
    runs = "1 run" if table.runs == 1 else f"{table.runs} runs"
    left = f", {len(table.left_out)} left out" if table.left_out else ""
    say(f"{settings} of {runs} written to {file.path}{left}")
    return 0


def _delete(names: Sequence[str], *, asked: bool) -> int:
    import sys

    from qfid_tui.cli.diagnostics import say
    from scorer.common.errors import InputError
    from scorer.runs.listing import find_run

    # All are found before the first is gone: a typing error deletes nothing.
    runs = [find_run(name) for name in names]
    runs = list({run.id: run for run in runs}.values())
    listed = ", ".join(f"`{run.id}`" for run in runs)
    if not asked:
        if not (sys.stdin is not None and sys.stdin.isatty()):
            raise InputError(f"nobody can be asked whether to delete {listed}", "add --yes")
        sys.stderr.write(f"delete {listed} with all that was scored? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            say("nothing is deleted")
            return 0
    for run in runs:
        run.delete()
        say(f"deleted `{run.id}`")
    return 0


def _row(info: RunInfo, results: str) -> tuple[str, ...]:
    from qfid_tui.state.text_names import only_roles

    if info.state == "broken":
        return info.id, info.state, "", info.reason
    planned = "?" if info.chunks_planned is None else str(info.chunks_planned)
    return (
        info.id,
        info.state,
        f"{info.chunks_done}/{planned}",
        info.model,
        info.corpus + only_roles(info.roles),
        str(info.chunk_length),
        results + (f"; {read_only_note(info)}" if info.read_only else ""),
    )


def _json(infos: Sequence[RunInfo], outcomes: Sequence[RunOutcome]) -> str:
    import json

    from scorer.common.json_values import json_values

    rows = [
        {
            **{name: getattr(info, name) for name in _VALUES},
            "path": str(info.path),
            "roles": info.roles.split(",") if info.roles else [],
            "results": json_values([_values(result) for result in outcome.results], words=True),
        }
        for info, outcome in zip(infos, outcomes, strict=True)
    ]
    return json.dumps(rows, indent=2) + "\n"


def _values(result: RunResult) -> dict[str, str | float]:
    return {
        "setting": result.setting,
        "kl_mean": result.kl_mean,
        "flip_rate": result.flip_rate,
        "verdict_shown": result.verdict,
    }


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Format rows as lines with aligned columns; control characters are escaped."""
    from scorer.common.inert_text import inert

    cells = [row if _is_plain(row) else [inert(cell) for cell in row] for row in rows]
    # The last cell of a short row is a sentence; it does not widen its column.
    full = max(map(len, cells))
    filled = zip(*(row for row in cells if len(row) == full), strict=True)
    widths = [max(map(len, column)) for column in filled]
    columns = [f"{{:<{width}}}" for width in widths]
    shapes = ["  ".join(columns[:count]) for count in range(full + 1)]
    return [shapes[len(row)].format(*row).rstrip() for row in cells]


def _is_plain(row: Sequence[str]) -> bool:
    text = "".join(row)
    return text.isascii() and text.isprintable()
