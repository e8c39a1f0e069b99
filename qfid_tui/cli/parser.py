"""The argument parser: argparse with one-line errors and hints, without abbreviations."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from qfid_tui.cli.diagnostics import say_with_hint


class Parser(argparse.ArgumentParser):
    """A parser whose errors look like other errors; options cannot be abbreviated."""

    def __init__(self, *args: Any, **options: Any) -> None:
        # An abbreviation that is unique now may be ambiguous in a later version.
        options.setdefault("allow_abbrev", False)
        super().__init__(*args, **options)

    def error(self, message: str) -> NoReturn:
        """Write the error to standard error and exit with code 2."""
        self.refuse(message, f"`{self.prog} --help` lists the options")

    def refuse_unknown(self, words: Sequence[str]) -> NoReturn:
        """Refuse words that no option takes; an option of another program is named with ours."""
        from qfid_tui.cli.foreign_options import hint_for

        hint = (
            hint_for(words, self.prog.rpartition(" ")[2])
            or f"`{self.prog} --help` lists the options"
        )
        self.refuse(f"unrecognized arguments: {' '.join(words)}", hint)

    def refuse(self, message: str, hint: str) -> NoReturn:
        """Write an error and its hint to standard error and exit with code 2."""
        say_with_hint("error", message, hint)
        raise SystemExit(2)
