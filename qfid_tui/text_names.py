"""The texts that have a name of their own, and what they are called on screen."""

from __future__ import annotations

CORPORA = {"wikitext2": "WikiText-2", "builtin": "built-in text"}


def text_name(corpus: str) -> str:
    """A corpus as one calls it: its name, or that of its file."""
    from pathlib import Path

    return CORPORA.get(corpus) or Path(corpus).name
