"""The command that installs packages for the Python that runs this: for hints."""

from __future__ import annotations

import importlib.util
import shlex
import sys


def install_command(*packages: str) -> str:
    """Return a command for a shell, such as ``/venv/bin/python -m pip install 'mlx[cpu]'``.

    An environment that uv made has no pip; uv is told its Python.

    Args:
        packages: Names, with extras.
    """
    if importlib.util.find_spec("pip") is None:
        return shlex.join(["uv", "pip", "install", "--python", sys.executable, *packages])
    return shlex.join([sys.executable, "-m", "pip", "install", *packages])
