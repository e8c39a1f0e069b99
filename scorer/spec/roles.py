"""Roles of a conversation: who said a token. Pure standard library."""

from __future__ import annotations

import re
from collections.abc import Sequence

from scorer.common.errors import InputError

ASSISTANT = "assistant"
TOOL_CALL = "tool_call"
"""Calls of tools, which the assistant writes."""
TOOL = "tool"
"""What a tool returned."""
TEMPLATE = "template"
"""What the chat template writes of its own: headers, BOS, descriptions of tools."""
UNKNOWN = "unknown"
"""Tokens of which it cannot be told whose they are."""
OTHER = "other"
"""Roles of a file whose names are no short words."""

ROLE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
PLAIN_TEXT_HINT = "give a file of chat rows as the text, or name no roles: then every token counts"
ROLES_HINT = "--roles takes names such as assistant, tool_call, user, system, tool"


def read_roles(text: str) -> tuple[str, ...]:
    """Read a list of roles, ``assistant,tool_call``; ascending, each once.

    Raises:
        InputError: One of them is no name.
    """
    return checked_roles([part.strip() for part in text.split(",")])


def checked_roles(names: object) -> tuple[str, ...]:
    """Return names of roles ascending, each once.

    Raises:
        InputError: They are no list of names.
    """
    if not isinstance(names, list | tuple):
        raise InputError("roles are a list of names", ROLES_HINT)
    for name in names:
        if not isinstance(name, str) or not ROLE_NAME.fullmatch(name):
            raise InputError(f"`{name}` is not a role", ROLES_HINT)
    return tuple(sorted(set(names)))


def roles_of(given: Sequence[str] | str | None) -> tuple[str, ...]:
    """Return the roles that a caller in Python names: a list, or as on the command line.

    Raises:
        InputError: One of them is no name.
    """
    if given is None:
        return ()
    return read_roles(given) if isinstance(given, str) else checked_roles(list(given))
