"""Environment variables that turn an optimized implementation off, for comparison."""

from __future__ import annotations

import os

from scorer.common.errors import InputError


def is_enabled(variable: str, fast: str, *, plain: str = "plain") -> bool:
    """Return whether an optimized implementation is to be used.

    Args:
        variable: Name of the environment variable.
        fast: Its value for the optimized implementation, also the default.
        plain: Its value for the plain implementation.

    Raises:
        InputError: The variable holds another value.
    """
    value = os.environ.get(variable) or fast
    if value not in (fast, plain):
        raise InputError(
            f"`{value}` is not a value of {variable}", f"set it to `{fast}` or `{plain}`"
        )
    return value == fast
