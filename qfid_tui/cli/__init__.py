"""The command line: ``qfid COMMAND``."""

from __future__ import annotations

from qfid_tui.cli.command_line import main

__all__ = ["main"]
