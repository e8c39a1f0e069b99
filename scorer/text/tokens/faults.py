"""What the tokenizer libraries raise, as errors of one line.

``tokenizers`` is Rust: a file that contradicts itself can make it panic, which reaches Python as
an exception that is no ``Exception``. Code of a repo's own may also ask the interpreter to exit.
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
    """Turn whatever a tokenizer raises into ``what`` and its reason.

    Raises:
        InputError: Something was raised inside.
    """
    try:
        yield
    except (QfidError, KeyboardInterrupt, MemoryError, GeneratorExit):
        raise
    except BaseException as error:
        raise InputError(f"{what}: {first_line(error)[:200]}", hint) from error


def as_ids(ids: Sequence[int] | NDArray[np.int32], name: str) -> NDArray[np.int32]:
    """Ids as (n,) int32.

    Args:
        ids: What a tokenizer gave.
        name: How messages name the tokenizer.

    Raises:
        InputError: An id does not fit: no model has a row for it.
    """
    try:
        return np.asarray(ids, dtype=np.int32)
    except OverflowError:
        raise InputError(
            f"the tokenizer of `{name}` gives token id `{max(ids)}`, which no model has a row for",
            "tokenizer and model do not belong together; fetch the model again",
        ) from None
