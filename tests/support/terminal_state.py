"""Whether a program left its terminal as it was: private modes and line settings."""

from __future__ import annotations

import re
import termios

from qfid_tui.tools.pseudo_terminal import TerminalProcess

_MODE = re.compile(rb"\x1b\[\?([0-9;]+)([hl])")
_KEYBOARD = re.compile(rb"\x1b\[([><])[0-9;]*u")

INITIAL_MODES = frozenset({"7", "25"})
"""Modes that are on in a new terminal: lines wrap (7), the cursor is shown (25)."""


def modes_left_on(output: bytes) -> set[str]:
    """Return the private modes that a program's output leaves on, and ``keyboard`` if it does."""
    on = set(INITIAL_MODES)
    for match in _MODE.finditer(output):
        for mode in match[1].decode().split(";"):
            (on.add if match[2] == b"h" else on.discard)(mode)
    depth = sum(1 if match[1] == b">" else -1 for match in _KEYBOARD.finditer(output))
    return on | {"keyboard"} if depth > 0 else on


def settings_are_restored(process: TerminalProcess) -> bool:
    """Return whether the terminal has its initial settings (echo, lines, signals)."""
    assert process.terminal is not None
    return termios.tcgetattr(process.terminal) == process.settings
