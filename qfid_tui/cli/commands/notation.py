"""``qfid notation``: how settings are written."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command, which has no options."""
    subparsers.add_parser("notation", description="Print how settings are written.")


def run(args: argparse.Namespace) -> int:
    """Print the page and return 0."""
    import shutil

    from qfid_tui.cli.output import print_text
    from qfid_tui.words.notation import notation_text

    print_text([notation_text(min(100, shutil.get_terminal_size().columns))])
    return 0
