"""Network access: forbidden by the user, or by the scorer for the libraries that it loads.

Libraries that load a model or a tokenizer check the Hub for newer files. The scorer prevents this
with the environment variable that a user would set, but may still fetch a corpus on first use.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_VARIABLE = "HF_HUB_OFFLINE"
# A true value for every library, but not one that is documented for users. Child processes inherit
# it and can distinguish it from a value that the user has set.
_SET_BY_SCORER = "on"


def forbid_to_libraries() -> None:
    """Set huggingface_hub offline in this process; call this before the import."""
    os.environ.setdefault(_VARIABLE, _SET_BY_SCORER)


def forbidden_by_user() -> bool:
    """Return whether the user has set offline mode, by the rules of huggingface_hub."""
    own = os.environ.get(_VARIABLE)
    value = (None if own == _SET_BY_SCORER else own) or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in {"1", "ON", "YES", "TRUE"}


@contextlib.contextmanager
def allowed() -> Iterator[None]:
    """Allow network access in the block, unless the user has set offline mode."""
    from huggingface_hub import constants

    if os.environ.get(_VARIABLE) != _SET_BY_SCORER or forbidden_by_user():
        yield
        return
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = False
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
