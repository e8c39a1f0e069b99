"""Items of four small tasks, made from a random number generator: a question and its one answer.

Every item is a line of ASCII. What an item asks decides whether it is held out, so that no question
is trained on and asked too.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TASKS = ("copy", "retrieval", "arithmetic", "json")
"""The tasks, by name."""
# How often a line of a text is of each; what is left of a window is filled with short ones.
_OFTEN = {"copy": 24, "retrieval": 28, "arithmetic": 24, "json": 24}
# One question in so many is held out.
_HELD_OUT_OF = 8
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"
_FIELDS = ("name", "city", "age", "id", "tag", "unit", "code", "team", "size", "kind")


@dataclass(frozen=True, slots=True)
class Item:
    """A question and its answer.

    Attributes:
        task: One of :data:`TASKS`.
        question: Begins with the letter of its kind and ends with ``=``.
        answer: What follows, without the end of the line.
    """

    task: str
    question: str
    answer: str

    @property
    def line(self) -> str:
        """The item as it stands in a text; the end of the line belongs to the answer."""
        return f"{self.question}{self.answer}\n"

    @property
    def held_out(self) -> bool:
        """Whether the item is never trained on."""
        digest = hashlib.blake2b(self.question.encode(), digest_size=2).digest()
        return int.from_bytes(digest, "big") % _HELD_OUT_OF == 0


def new_item(rng: random.Random, *, held_out: bool, task: str | None = None) -> Item:
    """Make an item.

    Args:
        rng: Where it comes from.
        held_out: Whether it is one of those that are asked, or one of those that are trained on.
        task: The task; None for any.
    """
    wanted = task or rng.choices(TASKS, [_OFTEN[name] for name in TASKS])[0]
    while True:
        item = _MAKERS[wanted](rng)
        if item.held_out == held_out:
            return item


def _word(rng: random.Random, alphabet: str, length: int) -> str:
    return "".join(rng.choices(alphabet, k=length))


def _copy(rng: random.Random) -> Item:
    """Copy a string, copy the part before a gap, or turn a string round.

    With few different letters the same pairs of letters come several times, and where to go on is
    harder to find.
    """
    alphabet = rng.choice((_LETTERS[:3], _LETTERS[:6], _LETTERS + _DIGITS))
    kind = rng.choice("CCGR")
    if kind == "R":
        text = _word(rng, alphabet, rng.randint(6, 14))
        return Item("copy", f"R{text}=", text[::-1])
    text = _word(rng, alphabet, rng.randint(10, 32))
    gap = f"|{_word(rng, alphabet, rng.randint(4, 24))}" if kind == "G" else ""
    return Item("copy", f"{kind}{text}{gap}=", text)


def _retrieval(rng: random.Random) -> Item:
    """Find the value of one key among 8 to 48 pairs. Many keys share their first letter."""
    count = rng.randint(8, 48)
    letters = rng.sample(_LETTERS, 10)
    keys = rng.sample([a + b for a in letters for b in letters], count)
    pairs = [(key, _word(rng, _LETTERS + _DIGITS, 2)) for key in keys]
    key, value = rng.choice(pairs)
    listed = ";".join(f"{name}:{held}" for name, held in pairs)
    return Item("retrieval", f"K{listed}?{key}=", value)


def _arithmetic(rng: random.Random) -> Item:
    """Add or subtract numbers of 2 to 4 digits; digits of the result from the lowest up."""
    a, b = (rng.randrange(10 ** (n - 1), 10**n) for n in rng.choices((2, 3, 4), (2, 2, 1), k=2))
    if rng.random() < 0.5:
        return Item("arithmetic", f"A{a}+{b}=", str(a + b)[::-1])
    a, b = max(a, b), min(a, b)
    return Item("arithmetic", f"S{a}-{b}=", str(a - b)[::-1])


def _value(rng: random.Random) -> str | int:
    if rng.random() < 0.4:
        return rng.randrange(10, 10000)
    return _word(rng, _LETTERS, rng.randint(2, 6))


def _json(rng: random.Random) -> Item:
    """Write a record as JSON, or take one value out of nested JSON."""
    if rng.random() < 0.5:
        record = {name: _value(rng) for name in rng.sample(_FIELDS, rng.randint(2, 4))}
        listed = ",".join(f"{name}:{value}" for name, value in record.items())
        return Item("json", f"J{listed}=", _dumped(record))
    outer = rng.sample(_FIELDS, rng.randint(2, 3))
    inner = rng.sample(_FIELDS, 4)
    nested = {
        name: {key: _value(rng) for key in rng.sample(inner, rng.randint(2, 3))} for name in outer
    }
    name = rng.choice(outer)
    key = rng.choice(list(nested[name]))
    return Item("json", f"X{_dumped(nested)}.{name}.{key}=", _dumped(nested[name][key]))


def _dumped(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


_MAKERS: dict[str, Callable[[random.Random], Item]] = {
    "copy": _copy,
    "retrieval": _retrieval,
    "arithmetic": _arithmetic,
    "json": _json,
}
