"""Style sheets that many apps of one process read, parsed once for all of them.

Textual keeps what it has parsed for one app alone, and each test makes one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet

_Parse = Callable[..., list[RuleSet]]


def parsed_once(parse: _Parse) -> _Parse:
    """``Stylesheet._parse_rules`` that remembers what it gave for the same text and variables."""
    known: dict[Any, list[RuleSet]] = {}

    @functools.wraps(parse)
    def rules(sheet: Stylesheet, *of: Any, **more: Any) -> list[RuleSet]:
        key = (frozenset(sheet._variables.items()), of, frozenset(more.items()))
        if key not in known:
            known[key] = parse(sheet, *of, **more)
        return known[key]

    return rules
