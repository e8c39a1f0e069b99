"""The texts that have a name of their own, and what they are called on screen."""

from __future__ import annotations

CORPORA = {"wikitext2": "WikiText-2", "builtin": "built-in text", "code": "code text"}
_OTHERS = {"wikitext-2-raw": "WikiText-2", "-": "standard input"}


def text_name(corpus: str) -> str:
    """A corpus as one calls it: its name, or that of its file; jobs and reports differ."""
    from pathlib import Path

    from scorer.spec.corpora import HUB

    if corpus.startswith(HUB):
        return corpus.partition("@")[0]
    return CORPORA.get(corpus) or _OTHERS.get(corpus) or Path(corpus).name
