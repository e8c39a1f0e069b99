"""Environment variables that switch a fast way off, for comparison and for the doubtful."""

from __future__ import annotations

import os

from scorer.common.errors import InputError


def wanted(variable: str, way: str, *, plain: str = "plain") -> bool:
    """Whether a variable leaves the fast ``way`` on, as where it is not set.

    Raises:
        InputError: The variable holds something else than the two.
    """
    wish = os.environ.get(variable) or way
    if wish not in (way, plain):
        raise InputError(f"{variable}: there is no way `{wish}`", f"it may be `{way}` or `{plain}`")
    return wish == way
