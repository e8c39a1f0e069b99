"""``qfid diff RUN_A RUN_B``: how far two runs of the same lie apart."""

from __future__ import annotations

import argparse
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scorer.report.run_diff_part import RunDiff

FORMATS = ("md", "json")
_DESCRIPTION = """\
Pair two saved runs that scored the same on another device, with another
arithmetic or other versions. Model, text, protocol, length and settings must be
equal; the differences of the KL mean are paired over the common chunks.
"""
_EPILOG = """\
exit codes: 0 the interval of every difference lies within --within, 4 one lies
beyond it, 5 neither, 2 the runs did not score the same, or wrong input

example:
  qfid diff 20261128-17 20261128-18 --within 5%
"""
_NAMED = {"beyond": "beyond", "neither": "neither within nor beyond"}


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command's options."""
    parser = subparsers.add_parser(
        "diff",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, which in (("run_a", "first"), ("run_b", "second")):
        parser.add_argument(
            name,
            metavar=name.upper(),
            help=f"the {which} run: its id, the beginning of its id, or its folder",
        )
    parser.add_argument(
        "--within",
        metavar="X",
        help="how far two KL means may lie apart: 0.001 is in nats, 5%% of that of RUN_A "
        "(default: 10%%)",
    )
    parser.add_argument(
        "--settings",
        metavar="LIST",
        help="which settings: 8,4:32 (default: all that both have)",
    )
    parser.add_argument("--format", choices=FORMATS, metavar="FORMAT", help="md (default) or json")
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="write it to FILE (-: print it); without --format its ending chooses: .md or .json",
    )


def run(args: argparse.Namespace) -> int:
    """Print the difference and return the exit code.

    Raises:
        QfidError: There is no such run, the runs did not score the same, or nothing can be written.
    """
    from qfid_tui.cli.diagnostics import say
    from qfid_tui.cli.output import ReportFile, print_text
    from scorer.results import diff_runs

    in_json = (args.format or _format_of(args.output)) == "json"
    file = None if args.output in (None, "-") else ReportFile(args.output)
    found = diff_runs(args.run_a, args.run_b, within=args.within, settings=args.settings)
    text = _text(found, in_json)
    if file is None:
        print_text([text], "difference")
    else:
        file.write([text])
        say(f"difference written to {file.path}")
    if found.looks > 1:
        named = [name for name, side in (("A", found.a), ("B", found.b)) if side.looks]
        stop = "stops" if len(named) == 1 else "stop"
        say(
            f"{' and '.join(named)} {stop} once settled: intervals are of "
            f"{100 * found.settings[0].confidence:.6g} %, so that they hold for all "
            f"{found.looks} looks at their common chunks"
        )
    for outcome, words in _NAMED.items():
        if names := [f"`{each.setting}`" for each in found.settings if each.outcome == outcome]:
            say(f"{words} ± {found.within}: {', '.join(names)}")
    return found.exit_code


def _format_of(output: str | None) -> str:
    return "json" if PurePath(output or "").suffix.lower() == ".json" else "md"


def _text(found: RunDiff, in_json: bool) -> str:
    if in_json:
        import json

        return json.dumps(found.to_json(), indent=2) + "\n"
    from scorer.report.formats.markdown_diff import diff_markdown

    return diff_markdown(found)
