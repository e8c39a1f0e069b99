"""Converts exceptions of the tokenizer libraries into one-line errors.

``tokenizers`` is written in Rust: an inconsistent file can make it panic, which Python sees as an
exception that does not derive from ``Exception``. Custom code of a repo may raise ``SystemExit``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from scorer.common.error_text import first_line
from scorer.common.errors import InputError, QfidError

MISSING_HINT = "the folder needs tokenizer.json beside config.json; fetch the model again"


@contextlib.contextmanager
def explained(what: str, hint: str = MISSING_HINT) -> Iterator[None]:
    """Convert any exception of a tokenizer into an error.

    Args:
        what: Begins the message; the reason follows.
        hint: Hint of the error.

    Raises:
        InputError: An exception was raised in the block.
    """
    try:
        yield
    except (QfidError, KeyboardInterrupt, MemoryError, GeneratorExit):
        raise
    except BaseException as error:
        raise InputError(f"{what}: {first_line(error)[:200]}", hint) from error


def as_ids(ids: Sequence[int] | NDArray[np.int32], name: str) -> NDArray[np.int32]:
    """Convert token ids to an (n,) int32 array.

    Args:
        ids: Ids from a tokenizer.
        name: Name of the tokenizer in messages.

    Raises:
        InputError: An id does not fit in 32 bits, so no model has a row for it.
    """
    try:
        return np.asarray(ids, dtype=np.int32)
    except OverflowError:
        raise InputError(
            f"the tokenizer of `{name}` gives token id `{max(ids)}`, which no model has a row for",
            "tokenizer and model do not belong together; fetch the model again",
        ) from None


def check_growth(name: str, tokens: int, characters: int, *, beside: int = 1 << 10) -> None:
    """Check that a tokenizer, or a chat template, does not blow a text up.

    A character has at most 4 bytes, and so many tokens; compatibility decomposition makes up to
    18 characters of one.

    Args:
        name: Name of the tokenizer in messages.
        tokens: Tokens that it gave.
        characters: Characters of the text.
        beside: Tokens that may be added to any text.

    Raises:
        InputError: They are too many.
    """
    if tokens > 4 * 18 * characters + beside:
        raise InputError(
            f"the tokenizer of `{name}` makes {tokens} tokens of {characters} characters",
            "its files are no tokenizer of a language model: pick another model",
        )
