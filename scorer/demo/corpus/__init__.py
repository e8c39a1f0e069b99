"""The built-in corpus: documentation of one version of Python, the same wherever it is read."""

from __future__ import annotations

import functools
import json
from pathlib import Path

CORPUS_FILE = Path(__file__).resolve().parent / "documents.json"
"""``python``: the version of CPython that the text comes from; ``documents``: [title, text]."""


@functools.cache
def builtin_documents() -> tuple[tuple[str, str], ...]:
    """Return the built-in corpus: documents that the demo model was not trained on.

    Returns:
        (title, text) pairs in a fixed order, which mixes modules and topics so that the first
        few documents are a fair sample.
    """
    documents = json.loads(CORPUS_FILE.read_text("utf-8"))["documents"]
    return tuple((title, text) for title, text in documents)
