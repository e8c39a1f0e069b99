"""The argument parser: argparse with errors of one line and a hint, and no guessed options."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from qfid_tui.cli.diagnostics import say_with_hint


class Parser(argparse.ArgumentParser):
    """A parser whose errors look like all others; options must be written out."""

    def __init__(self, *args: Any, **options: Any) -> None:
        # An abbreviation that is unique today may name another option tomorrow.
        options.setdefault("allow_abbrev", False)
        super().__init__(*args, **options)

    def error(self, message: str) -> NoReturn:
        """Write the error to standard error and exit with code 2."""
        say_with_hint("error", message, f"`{self.prog} --help` lists what there is")
        raise SystemExit(2)
