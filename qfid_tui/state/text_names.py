"""The texts that have a name of their own, and what they are called on screen."""

from __future__ import annotations

from pathlib import Path

from qfid_tui.state.paths import absolute
from scorer.spec.corpora import HUB, NAMED
from scorer.spec.job import STANDARD_INPUT

CORPORA = {
    "wikitext2": "WikiText-2",
    "builtin": "built-in text",
    "code": "code text",
    "languages": "text in 15 languages",
}
_OTHERS = {"wikitext-2-raw": "WikiText-2", "-": "standard input"}


def text_name(corpus: str) -> str:
    """A corpus as one calls it: its name, or that of its file; jobs and reports differ."""
    if corpus.startswith(HUB):
        return corpus.partition("@")[0]
    return CORPORA.get(corpus) or _OTHERS.get(corpus) or Path(corpus).name


def text_with_roles(corpus: str, roles: str) -> str:
    """A text and what counts of it: ``chats.jsonl, only assistant``.

    Args:
        corpus: The text.
        roles: The roles that count, with commas between; "" for every token.
    """
    return f"{text_name(corpus)}{only_roles(roles)}"


def only_roles(roles: str) -> str:
    """What stands behind a text of which some roles count: ``, only assistant``; else ""."""
    return f", only {roles.replace(',', ', ')}" if roles else ""


def named_text(text: str) -> str:
    """A text as a job names it: the path of a file is absolute."""
    if text in (*NAMED, STANDARD_INPUT) or text.startswith(HUB) or not text.strip():
        return text
    return absolute(text)


def is_file(text: str) -> bool:
    """Whether a text is the name of a file that exists."""
    try:
        return Path(text).expanduser().is_file()
    except (OSError, RuntimeError, ValueError):
        return False
