"""Who forbids the network: the user, to everything, or a scorer, to the libraries it loads.

Libraries that load a model or a tokenizer look for newer files of its repo. A scorer keeps them
from that with the variable the user would set, and must still be able to fetch a text on first use.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_VARIABLE = "HF_HUB_OFFLINE"
# True to every library that reads the variable, and no spelling that a user is told of. Children
# inherit it and still know whose it is.
_OURS = "on"


def forbid_to_libraries() -> None:
    """Keep huggingface_hub off the network in this process; call it before that is imported."""
    os.environ.setdefault(_VARIABLE, _OURS)


def forbidden_by_user() -> bool:
    """Whether the user forbids the network, as huggingface_hub reads it."""
    own = os.environ.get(_VARIABLE)
    value = (None if own == _OURS else own) or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in {"1", "ON", "YES", "TRUE"}


@contextlib.contextmanager
def allowed() -> Iterator[None]:
    """The network for what is fetched on purpose: lifts what a scorer forbids, not what a user."""
    from huggingface_hub import constants

    if os.environ.get(_VARIABLE) != _OURS or forbidden_by_user():
        yield
        return
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = False
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
