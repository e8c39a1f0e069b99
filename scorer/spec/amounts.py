"""Amounts of memory and numbers of tokens, as a command line or a program has them.

Memory is in bytes: kB, MB, GB and TB are powers of 1000, KiB, MiB, GiB and TiB of 1024. Tokens are
counted in ``k`` = 1024. Every amount can be written so that reading it gives the same number.
"""

from __future__ import annotations

import operator
import re
from fractions import Fraction

from scorer.common.errors import InputError

_UNITS = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
}
_EXACT_UNITS = (
    ("TB", 10**12),
    ("GB", 10**9),
    ("GiB", 1 << 30),
    ("MB", 10**6),
    ("MiB", 1 << 20),
)
_MEMORY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,12})?) ?([A-Za-z]*)", re.ASCII)
_TOKENS = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,4})?)(k?)", re.ASCII | re.IGNORECASE)
# No model fits in less: a smaller number is one whose unit was forgotten.
_LEAST_BYTES = 10**6
_MOST_BYTES = 10**15
_MOST_TOKENS = 1 << 30
_MEMORY_HINT = "for example 16GB (10^9 bytes), 940MB or 8GiB (2^30 bytes)"
_TOKENS_HINT = "for example 4096 or 32k (k = 1024 tokens)"
K = 1024
"""The tokens of ``1k``."""


def parse_bytes(text: str, what: str = "--memory") -> int:
    """Read an amount of memory: ``16GB``, ``940MB``, ``1.5GB``, ``8GiB``, or bytes as a number.

    Args:
        text: The amount; the case of the unit does not matter.
        what: Where it was written, for the message.

    Returns:
        Bytes, rounded down.

    Raises:
        InputError: It is no amount of memory, or less than a megabyte.
    """
    found = _MEMORY.fullmatch(text.strip())
    if found is None:
        raise InputError(f"{what} `{text}` is not an amount of memory", _MEMORY_HINT)
    number, unit = found[1], found[2].lower()
    if unit not in _UNITS and unit:
        raise InputError(f"{what} `{text}`: `{found[2]}` is not a unit of memory", _MEMORY_HINT)
    size = int(Fraction(number) * _UNITS.get(unit, 1))
    if size < _LEAST_BYTES:
        forgotten = "" if unit else f": {size} bytes"
        raise InputError(f"{what} `{text}` is too little for any model{forgotten}", _MEMORY_HINT)
    if size > _MOST_BYTES:
        raise InputError(f"{what} `{text}` is more memory than there is", _MEMORY_HINT)
    return size


def parse_tokens(text: str, what: str = "--context") -> int:
    """Read a number of tokens: ``4096``, or ``32k`` with k = 1024.

    Args:
        text: The number.
        what: Where it was written, for the message.

    Raises:
        InputError: It is no whole number of tokens, or none at all.
    """
    found = _TOKENS.fullmatch(text.strip())
    tokens = Fraction(found[1]) * (K if found[2] else 1) if found else Fraction(0)
    if found is None or tokens.denominator != 1:
        raise InputError(f"{what} `{text}` is not a number of tokens", _TOKENS_HINT)
    if not 1 <= tokens <= _MOST_TOKENS:
        raise InputError(f"{what} `{text}` is out of range", f"from 1 to {_MOST_TOKENS} tokens")
    return int(tokens)


def whole_number(value: object, what: str, hint: str = "give an int") -> int:
    """A number that a program gave, as an int; also one of NumPy's.

    Args:
        value: The number.
        what: What it counts, for the message.
        hint: What to give instead.

    Raises:
        InputError: It is no whole number.
    """
    try:
        if not isinstance(value, bool):
            return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        pass
    raise InputError(f"{what} `{value!r}` is not a whole number", hint)


def bytes_word(size: int) -> str:
    """An amount of memory in one word, in the largest unit that has it as a whole number.

    :func:`parse_bytes` gives the same number.
    """
    for unit, factor in _EXACT_UNITS:
        if size >= factor and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def tokens_word(tokens: int) -> str:
    """A number of tokens in one word, ``32k`` where it is a whole number of k.

    :func:`parse_tokens` gives the same number.
    """
    return f"{tokens // K}k" if tokens >= K and tokens % K == 0 else str(tokens)


def shown_bytes(size: float) -> str:
    """An amount of memory for people, in powers of 1000: ``940 MB``, ``1.50 GB``."""
    if size < 99_950:
        return f"{size / 1e3:.1f} kB"
    if size < 9_995_000:
        return f"{size / 1e6:.1f} MB"
    if size < 999_500_000:
        return f"{size / 1e6:.0f} MB"
    return f"{size / 1e9:.2f} GB" if size < 99.995e9 else f"{size / 1e9:.0f} GB"
