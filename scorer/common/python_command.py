"""The command that starts a module of ours with the Python that runs this one."""

from __future__ import annotations

import sys


def python_command(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs a module as this interpreter would run it.

    A file of the user's that is named like a module of ours is never imported from the current
    folder (``-P``). What this interpreter ignores of its environment (``-I``, ``-E``, ``-s``), the
    new one ignores too.

    Args:
        module: Its dotted name.
        arguments: What it is given.
    """
    flags = ["-P"]
    if sys.flags.isolated:
        flags = ["-I"]
    else:
        flags += ["-E"] * sys.flags.ignore_environment + ["-s"] * sys.flags.no_user_site
    return (sys.executable, *flags, "-m", module, *arguments)
